// Setting an option in each of the three ways: file, environment, command line.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace masformer::test {

// Sets an environment variable while the object exists.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
};

inline std::string environment_name(std::string option) {
  for (char& c : option) c = c == '.' ? '_' : static_cast<char>(std::toupper(c));
  return "MASFORMER_" + option;
}

// One option, set in one of the three ways.
enum class Source : std::uint8_t { command_line, environment, file };

class Said {
 public:
  Said(Source source, const std::string& name, const std::string& value) {
    const auto dot = name.find('.');
    if (source == Source::command_line) words = {"--" + name, value};
    if (source == Source::environment) variables_.emplace_back(environment_name(name), value);
    if (source != Source::file) return;
    const std::string file = (directory_ / "said.ini").string();
    std::ofstream(file) << "[" << name.substr(0, dot) << "]\n"
                        << name.substr(dot + 1) << " = " << value << "\n";
    words = {"--config", file};
  }
  std::vector<std::string> words;  // for the command line

 private:
  TemporaryDirectory directory_;
  std::deque<Variable> variables_;
};

}  // namespace masformer::test
