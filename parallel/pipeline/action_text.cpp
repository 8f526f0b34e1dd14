#include "parallel/pipeline/action_text.h"

#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr std::string_view letters = "FBIW";  // in the order of ActionKind
static_assert(letters.size() == enum_names<ActionKind>.size());

std::string word_of(const Action& action) {
  std::string word =
      fmt::format("{}{}", letters[static_cast<std::size_t>(action.kind)], action.micro_batch);
  if (action.chunk != 0) word += fmt::format(".{}", action.chunk);
  return word;
}

// Takes a number off the front of `text`. Returns false if there is none.
bool take_number(std::string_view& text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

Action parse_word(std::string_view word) {
  Action action;
  std::string_view rest = word.substr(1);
  const std::size_t kind = letters.find(word[0]);
  bool known = kind != letters.npos && take_number(rest, action.micro_batch);
  if (known && rest.starts_with('.')) {
    rest.remove_prefix(1);
    known = take_number(rest, action.chunk);
  }
  require(known && rest.empty(), "'{}' is not an action of a schedule", word);
  action.kind = static_cast<ActionKind>(kind);
  return action;
}

}  // namespace

std::string action_text(const std::vector<Action>& actions) {
  std::vector<std::string> words;
  for (const Action& action : actions) words.push_back(word_of(action));
  return fmt::format("{}", fmt::join(words, " "));
}

std::vector<Action> parse_actions(std::string_view text) {
  std::vector<Action> actions;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    require(!word.empty(), "'{}' is not a list of actions", text);
    actions.push_back(parse_word(word));
    text.remove_prefix(word.size());
    if (text.empty()) break;
    text.remove_prefix(1);
    require(!text.empty(), "a list of actions ends with a blank");
  }
  return actions;
}

}  // namespace masformer
