// The command line of a benchmark: positional arguments, each with a default.
#pragma once

#include <charconv>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/core.h>

#include "runtime/error.h"

namespace masformer::test {

// Parses all of `text` as a number. Throws UsageError unless it is a positive number.
template <class Number>
Number positive_number(std::string_view text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || !(value > 0)) {
    refuse("\"{}\" is not a positive number", text);
  }
  return value;
}

struct Usage {
  const char* text;
  std::size_t max_arguments;
};

class Arguments {
 public:
  Arguments(int argc, char** argv) : words_(argv + 1, argv + argc) {}

  bool asks_for_help() const {
    return !words_.empty() && (words_[0] == "--help" || words_[0] == "-h");
  }

  std::size_t size() const { return words_.size(); }
  std::string text(std::size_t i, const std::string& otherwise) const {
    return i < words_.size() ? words_[i] : otherwise;
  }
  template <class Number>
  Number number(std::size_t i, Number otherwise) const {
    return i < words_.size() ? positive_number<Number>(words_[i]) : otherwise;
  }

 private:
  std::vector<std::string> words_;
};

// The body of main(): calls `run` with the arguments. Returns the exit status: 0, 1 for a failure,
// 2 for unusable arguments, after which it prints the usage. Each line of output is written at
// once, so that a benchmark that is stopped early leaves what it has measured.
template <class Run>
int run_benchmark(int argc, char** argv, const Usage& usage, const Run& run) {
  const Arguments arguments(argc, argv);
  if (arguments.asks_for_help()) {
    fmt::print("{}", usage.text);
    return 0;
  }
  try {
    if (arguments.size() > usage.max_arguments) refuse("there are too many arguments");
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    run(arguments);
    return 0;
  } catch (const UsageError& error) {
    fmt::print(stderr, "{}\n{}", error.what(), usage.text);
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}

}  // namespace masformer::test
