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

// Whether a resumed run may have another value than the run began with.
enum class OnResume : std::uint8_t { may_change, must_match };

// What the help says of an option, and the rules that its target's type doesn't tell.
struct OptionInfo {
  std::string value;  // what to write for the value in the help: "N", "PATH"
  std::string help;   // sentences, with units and what a special value such as 0 means
  OnResume on_resume = OnResume::may_change;
  std::vector<std::string> choices;  // of a text; empty allows all
};

// The values that a number may have, both ends included.
template <class T>
struct Bounds {
  T minimum, maximum;
};

class OptionTable {
 public:
  // `target` holds the default now, and the value after parse(); it outlives the table.
  void add(const std::string& name, std::string& target, OptionInfo info);
  // Every number has bounds: whole numbers those of limits.h, so that products of them do not
  // overflow; real numbers that become fp32 at most its largest number.
  void add(const std::string& name, std::int64_t& target, Bounds<std::int64_t> bounds,
           OptionInfo info);
  void add(const std::string& name, double& target, Bounds<double> bounds, OptionInfo info);
  // A named enum, or a bool: the names are the choices. `only`: the values that the option takes,
  // if not all of them.
  template <NamedEnum Enum>
  void add(const std::string& name, Enum& target, OptionInfo info,
           std::initializer_list<Enum> only = {});
  // A named enum or "auto", which leaves the target empty.
  template <NamedEnum Enum>
  void add(const std::string& name, std::optional<Enum>& target, OptionInfo info);
  void add_flag(const std::string& name, bool& target, const std::string& help);  // takes no value
  void add_list(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // The words that belong to no option.
  void add_positional(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // Reads `--config FILE` too.
  void allow_config() { config_allowed_ = true; }

  // Sets the targets. Throws UsageError that lists every violation at once.
  void parse(const std::vector<std::string>& arguments);
  // Sets what a record (see record()) says and nothing else has set; ignores names of no option.
  void apply_record(const std::map<std::string, std::string>& record);

  // Options that have no default of their own here, but take a checkpoint's value unless they are
  // set; the help says so.
  void inherit(const std::vector<std::string>& names);
  // apply_record() for these alone.
  void apply_inherited(std::map<std::string, std::string> record);

  // Each option with its value, and below it what it means, the choices and the default.
  std::string help() const;
  // Every option with a section, by name, as text that apply_record() reads back bit for bit.
  std::map<std::string, std::string> record() const;
  OnResume on_resume(const std::string& name) const;
  // Whether the command line, the file or the environment set it.
  bool was_set(const std::string& name) const;

 private:
  struct Entry {
    std::string name;
    OptionInfo info;
    std::string default_text;
    bool flag = false, list = false, positional = false, inherited = false, set = false;
    // Returns what is wrong with the texts, or nothing.
    std::function<std::string(const std::vector<std::string>&)> assign;
    std::function<std::string()> text;

    std::string notes() const;  // of the help
  };
  class Parser;

  // An option with info.choices: `set` takes one of them, `text` gives the present one.
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
