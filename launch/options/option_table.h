// Options, each declared once: command line, configuration file, environment, --help, the record in
// checkpoints and the rules of resuming all follow from the declaration.
//
// Option `section.key` is --section.key on the command line, `key` under [section] in the file, and
// MASFORMER_SECTION_KEY in the environment. The command line wins over the environment, and that
// over the file; if the command line gives an option twice, the last value wins.
//
// To add an option, give it a member that holds its default, and one call of add(): in options.h
// and options.cpp for what describes a run, in the command's own file for the rest. If its values
// are words, the member is a named enum (choices.h).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/enum_names.h"

namespace masformer {

template <>
inline constexpr std::array<NamedValue<bool>, 2> enum_names<bool>{
    {{true, "true"}, {false, "false"}}};

// Whether a resumed run may change the option.
enum class OnResume : std::uint8_t { may_change, must_match };

// An option's help text, and the rules that do not follow from its type.
struct OptionInfo {
  std::string value;  // what to write for the value in the help: "N", "PATH"
  std::string help;   // sentences, with units and what a special value such as 0 means
  OnResume on_resume = OnResume::may_change;
  std::vector<std::string> choices;  // allowed values of a text; empty: all
};

// The values that a number may have, both ends included.
template <class T>
struct Bounds {
  T minimum, maximum;
};

class OptionTable {
 public:
  // `target` holds the default now, and the option's value after parse(). It outlives the table.
  void add(const std::string& name, std::string& target, OptionInfo info);
  // Every number has bounds. Integers have those of limits.h, so that products of them do not
  // overflow. Real numbers that become fp32 are at most the largest fp32 number.
  void add(const std::string& name, std::int64_t& target, Bounds<std::int64_t> bounds,
           OptionInfo info);
  void add(const std::string& name, double& target, Bounds<double> bounds, OptionInfo info);
  // A named enum or a bool: the choices are its names. `only`: the values that the option accepts;
  // empty: all.
  template <NamedEnum Enum>
  void add(const std::string& name, Enum& target, OptionInfo info,
           std::initializer_list<Enum> only = {});
  // A named enum, or "auto", which leaves the target empty.
  template <NamedEnum Enum>
  void add(const std::string& name, std::optional<Enum>& target, OptionInfo info);
  void add_flag(const std::string& name, bool& target, const std::string& help);  // takes no value
  void add_list(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // The arguments that belong to no option.
  void add_positional(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // Reads `--config FILE` too.
  void allow_config() { config_allowed_ = true; }

  // Sets the targets. Throws one UsageError that lists all violations.
  void parse(const std::vector<std::string>& arguments);
  // Applies a record (see record()) to the options that command line, file and environment left
  // unset. Ignores unknown names.
  void apply_record(const std::map<std::string, std::string>& record);

  // Marks options whose default is the checkpoint's value, and says so in the help.
  void inherit(const std::vector<std::string>& names);
  // apply_record() for the inherited options only.
  void apply_inherited(std::map<std::string, std::string> record);

  // Each option with its value; below it the meaning, the choices and the default.
  std::string help() const;
  // Name and value of every option that has a section. apply_record() reads the values back
  // exactly.
  std::map<std::string, std::string> record() const;
  OnResume on_resume(const std::string& name) const;
  // The value that record() has for the option's default.
  std::string default_value(const std::string& name) const;
  // Whether the command line, the file or the environment set the option.
  bool was_set(const std::string& name) const;
  // Whether its value is auto, 0 or empty, by which most options leave the choice to the program.
  bool is_open(const std::string& name) const;
  // The names of those among `options`, pairs of name and value, that are set and not open: what a
  // search for a layout keeps.
  template <class NamedValues>
  std::vector<std::string> kept_of(const NamedValues& options) const {
    std::vector<std::string> names;
    for (const auto& [name, value] : options) {
      if (was_set(name) && !is_open(name)) names.push_back(name);
    }
    return names;
  }

 private:
  struct Entry {
    std::string name;
    OptionInfo info;
    std::string default_text;
    bool flag = false, list = false, positional = false, inherited = false, set = false;
    // Parses the texts into the target. Returns a message if that fails, else "".
    std::function<std::string(const std::vector<std::string>&)> assign;
    std::function<std::string()> text;

    std::string notes() const;  // the end of its help text
  };
  class Parser;

  // An option with info.choices: `set` is called with one of them; `text` returns the current one.
  void add_choice(const std::string& name, OptionInfo info,
                  std::function<void(const std::string&)> set, std::function<std::string()> text);
  template <class T>
  void add_number(const std::string& name, T& target, Bounds<T> bounds, OptionInfo info);
  const Entry* find(const std::string& name) const;

  std::vector<Entry> entries_;
  bool config_allowed_ = false;
};

template <NamedEnum Enum>
void OptionTable::add(const std::string& name, Enum& target, OptionInfo info,
                      std::initializer_list<Enum> only) {
  info.choices = names_of<Enum>();
  if (only.size() > 0) {
    std::erase_if(info.choices, [&](const std::string& choice) {
      return std::ranges::count(only, parse_enum<Enum>(choice)) == 0;
    });
  }
  add_choice(
      name, std::move(info),
      [&target](const std::string& text) { target = parse_enum<Enum>(text); },
      [&target] { return std::string(name_of(target)); });
}

template <NamedEnum Enum>
void OptionTable::add(const std::string& name, std::optional<Enum>& target, OptionInfo info) {
  constexpr const char* automatic = "auto";
  info.choices = names_of<Enum>();
  info.choices.insert(info.choices.begin(), automatic);
  add_choice(
      name, std::move(info), [&target](const std::string& text) { target = find_enum<Enum>(text); },
      [&target] { return std::string(target ? name_of(*target) : automatic); });
}

}  // namespace masformer
