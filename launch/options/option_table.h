// Options, each declared once: command line, configuration file, environment, --help, the record in
// checkpoints and the rules of resuming all follow from the declaration.
//
// Option `section.key` is --section.key on the command line, `key` under [section] in the file, and
// MASFORMER_SECTION_KEY in the environment. The command line wins over the environment, and that
// over the file; on the command line the last word on an option holds.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace masformer {

// Whether a run may go on with another value than it began with.
enum class OnResume : std::uint8_t { may_change, must_match };

// What an option says of itself.
struct OptionInfo {
  std::string value;  // what to write for the value in the help: "N", "PATH"
  std::string help;   // units and default's meaning included
  OnResume on_resume = OnResume::may_change;
  double minimum = std::numeric_limits<double>::lowest();
  double maximum = std::numeric_limits<double>::max();
  std::vector<std::string> choices;  // the only texts allowed; empty allows all
};

class OptionTable {
 public:
  // `target` holds the default now, and the value after parse(); it outlives the table.
  void add(const std::string& name, std::string& target, OptionInfo info);
  void add(const std::string& name, std::int64_t& target, OptionInfo info);
  void add(const std::string& name, double& target, OptionInfo info);
  void add(const std::string& name, bool& target, OptionInfo info);  // "true" or "false"
  void add_flag(const std::string& name, bool& target, const std::string& help);  // takes no value
  void add_list(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // The words that belong to no option.
  void add_positional(const std::string& name, std::vector<std::string>& target, OptionInfo info);
  // Reads `--config FILE` too.
  void allow_config() { config_allowed_ = true; }

  // Sets the targets. Throws UsageError that lists every violation at once.
  void parse(const std::vector<std::string>& arguments);
  // Sets what a record (see record()) says and nothing else has set; unknown names are passed over.
  void apply_record(const std::map<std::string, std::string>& record);

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
    bool flag = false, list = false, positional = false, set = false;
    // Returns what is wrong with the texts, or nothing.
    std::function<std::string(const std::vector<std::string>&)> assign;
    std::function<std::string()> text;
  };
  class Parser;

  template <class T>
  void add_number(const std::string& name, T& target, OptionInfo info, const char* kind);
  const Entry* find(const std::string& name) const;

  std::vector<Entry> entries_;
  bool config_allowed_ = false;
};

}  // namespace masformer
