#include "launch/supervisor/run_words.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

#include "launch/commands.h"
#include "launch/options/limits.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// Longer names come first, because -np begins with -n.
constexpr std::array<std::string_view, 6> rank_options{"--np", "--n", "--c", "-np", "-n", "-c"};

int parse_ranks(std::string_view option, std::string_view text) {
  int ranks = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, ranks);
  if (error == std::errc::result_out_of_range || ranks > limits::ranks) {
    refuse("run: {} {} is too large: at most {} ranks", option, text, limits::ranks);
  }
  if (error != std::errc() || stop != end) {
    refuse("run: {} {} is not a whole number", option, text);
  }
  if (ranks < 1) refuse("run: {} {} is too small: start at least one rank", option, text);
  return ranks;
}

struct RankOption {
  std::string_view name;
  std::optional<std::string_view> value;  // if it is part of the same word
};

// Parses a word that sets the number of ranks (-n, -n2, -n=2); returns nothing for any other word.
// Options that merely begin with the same letters, such as --config or -cpus-per-proc, are
// mpirun's.
std::optional<RankOption> rank_option(std::string_view word) {
  for (const std::string_view name : rank_options) {
    if (word == name) return RankOption{name, std::nullopt};
    if (!word.starts_with(name)) continue;
    const std::string_view rest = word.substr(name.size());
    if (rest.starts_with('=')) return RankOption{name, rest.substr(1)};
    if (rest.find_first_not_of("0123456789") == std::string_view::npos) {
      return RankOption{name, rest};
    }
  }
  return std::nullopt;
}

void check(const RunWords& words) {
  if (words.ranks == 0) {
    refuse("run: give the number of ranks, as in masformer run -n 4 -- train ...");
  }
  if (words.program.empty()) {
    refuse("run: give the command after --, as in masformer run -n {} -- train ...", words.ranks);
  }
  const std::string& name = words.program[0];
  const Command* const command = find_command(name);
  if (command == nullptr) refuse("run: there is no command {}: see masformer --help", name);
  if (!command->runs_on_ranks) {
    refuse("run: {} does not run on ranks: start it as masformer {} ...", name, name);
  }
}

}  // namespace

RunWords parse_run_words(const std::vector<std::string>& arguments) {
  RunWords words;
  const auto dashes = std::ranges::find(arguments, "--");
  for (auto word = arguments.begin(); word != dashes; ++word) {
    const auto option = rank_option(*word);
    if (!option) {
      words.mpirun.push_back(*word);
      continue;
    }
    if (words.ranks != 0) refuse("run: the number of ranks is given twice");
    if (!option->value && ++word == dashes) refuse("run: {} needs a number of ranks", option->name);
    words.ranks = parse_ranks(option->name, option->value.value_or(*word));
  }
  if (dashes != arguments.end()) words.program.assign(dashes + 1, arguments.end());
  check(words);
  return words;
}

}  // namespace masformer
