// Reads the three sources of options as text: the command line (by Boost.Program_options), the
// environment, and a configuration file. The table's entries then parse each text as the option's
// type.
#include <algorithm>
#include <cctype>
#include <numeric>

#include <boost/program_options.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/options/config_file.h"
#include "launch/options/option_table.h"
#include "runtime/error.h"

extern char** environ;

namespace po = boost::program_options;

namespace masformer {
namespace {

constexpr const char* command_line = "the command line";
constexpr const char* environment_prefix = "MASFORMER_";

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string environment_name(const std::string& option) {
  std::string name = environment_prefix + upper_case(option);
  std::ranges::replace(name, '.', '_');
  return name;
}

bool has_section(const std::string& option) {
  return option.find('.') != std::string::npos;
}

// The section with its dot; "" if the option has no section.
std::string section_of(const std::string& option) {
  return has_section(option) ? option.substr(0, option.find('.') + 1) : "";
}

std::string key_of(const std::string& option) {
  return option.substr(section_of(option).size());
}

// The Levenshtein distance of two words, or some number above `limit` if it exceeds that.
std::size_t distance(const std::string& a, const std::string& b, std::size_t limit) {
  if (a.size() > b.size() + limit || b.size() > a.size() + limit) return limit + 1;
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({change, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

constexpr std::size_t unlike = 100;

// The edit distance from `written` to `name`, or `unlike` if more than a third of the letters
// differ.
std::size_t typo_distance(const std::string& name, const std::string& written) {
  const std::size_t limit = std::max<std::size_t>(std::min(name.size(), written.size()) / 3, 1);
  const std::size_t away = distance(name, written, limit);
  return away <= limit ? away : unlike;
}

// The same for an option. Also accepts a prefix of the name, and a wrong or missing section.
std::size_t option_distance(const std::string& option, const std::string& written) {
  if (!written.empty() && (option.starts_with(written) || key_of(option) == key_of(written))) {
    return 1;
  }
  if (section_of(option) != section_of(written)) return typo_distance(option, written);
  return typo_distance(key_of(option), key_of(written));
}

// One option as a source gives it.
struct Given {
  std::string name;
  std::vector<std::string> values;
  std::string where;  // "the command line", "run.ini:3"
};

}  // namespace

class OptionTable::Parser {
 public:
  explicit Parser(OptionTable& table) : table_(table) {
    for (const Entry& entry : table.entries_) describe(entry);
    if (table.config_allowed_) known_.add_options()("config", po::value<std::string>());
  }

  // An earlier source wins over a later one.
  void run(const std::vector<std::string>& arguments) {
    collect([&] { return read_arguments(arguments); });
    collect([&] { return read_environment(); });
    const auto config = texts_.find("config");
    if (config != texts_.end()) {
      const std::string file = config->second.back();
      collect([&] { return read_file(file); });
    }
    for (Entry& entry : table_.entries_) assign(entry);
    if (!violations_.empty()) refuse("{}", fmt::join(violations_, "\n"));
  }

 private:
  void describe(const Entry& entry) {
    if (entry.flag) {
      known_.add_options()(entry.name.c_str(), "");
    } else if (entry.list) {
      known_.add_options()(entry.name.c_str(), po::value<std::vector<std::string>>()->multitoken());
    } else {
      known_.add_options()(entry.name.c_str(), po::value<std::string>());
    }
    if (entry.positional) positional_.add(entry.name.c_str(), -1);
  }

  std::vector<Given> read_arguments(const std::vector<std::string>& arguments) {
    using namespace po::command_line_style;
    po::command_line_parser parser(arguments);
    // If the command takes no positional arguments, Boost returns each as an option without a name.
    if (positional_.max_total_count() > 0) parser.positional(positional_);
    const auto parsed = parser.options(known_)
                            .style(allow_long | long_allow_adjacent | long_allow_next)
                            .allow_unregistered()
                            .run();
    std::vector<Given> given;
    bool after_mistake = false;  // a free word after an unknown option is its value
    for (const auto& option : parsed.options) {
      const bool free_word = option.string_key.empty();
      if (free_word && after_mistake) {
        after_mistake = false;
      } else if (option.unregistered || free_word) {
        report_unknown(command_line, free_word ? fmt::format("{}", fmt::join(option.value, " "))
                                               : option.string_key);
        after_mistake = !free_word;
      } else if (took_an_option(option)) {
        after_mistake = true;
      } else {
        given.push_back({option.string_key, option.value, command_line});
        after_mistake = false;
      }
    }
    return given;
  }

  // Whether an option was given without a value, so that Boost took the next option as its value.
  bool took_an_option(const po::basic_option<char>& option) {
    const auto& words = option.original_tokens;
    if (words.size() < 2 || !words[0].starts_with("--") || !words[1].starts_with("--")) {
      return false;
    }
    violations_.push_back(
        fmt::format("{}: --{} needs a value, but {} follows; write --{}=VALUE for a value that "
                    "begins with --",
                    command_line, option.string_key, words[1], option.string_key));
    return true;
  }

  std::vector<Given> read_environment() {
    std::vector<Given> given;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text = *variable;
      const std::size_t equals = std::min(text.find('='), text.size());
      const std::string name = text.substr(0, equals);
      const auto entry = std::ranges::find_if(table_.entries_, [&](const Entry& each) {
        return has_section(each.name) && environment_name(each.name) == name;
      });
      if (entry == table_.entries_.end()) {
        check_environment(name);
      } else {
        given.push_back(
            {entry->name, {text.substr(std::min(equals + 1, text.size()))}, "the environment"});
      }
    }
    return given;
  }

  // Reports a MASFORMER_* variable as a typing error if it begins with the name of a section, is an
  // option's key without its section, or is close to an option's name. A command that has only some
  // of the options stays silent, because the variable may be meant for another command.
  void check_environment(const std::string& variable) {
    if (!table_.config_allowed_) return;
    if (variable == environment_name("config")) {
      violations_.push_back(
          fmt::format("the environment: {} is not read: give --config FILE", variable));
      return;
    }
    const std::string name = upper_case(variable);
    if (!name.starts_with(environment_prefix)) return;
    const bool typo = std::ranges::any_of(table_.entries_, [&](const Entry& entry) {
      if (!has_section(entry.name)) return false;
      return name.starts_with(environment_name(section_of(entry.name))) ||
             environment_distance(entry.name, name) != unlike;
    });
    if (!typo) return;
    violations_.push_back(
        fmt::format("the environment: {} names no option{}", variable,
                    did_you_mean([&](const auto& each) { return environment_distance(each, name); },
                                 environment_name)));
  }

  static std::size_t environment_distance(const std::string& option, const std::string& variable) {
    if (environment_name(key_of(option)) == variable) return 1;
    const std::size_t prefix = std::string(environment_prefix).size();
    const std::size_t away =
        typo_distance(environment_name(option).substr(prefix), variable.substr(prefix));
    return away <= 2 ? away : unlike;  // other tools may have variables with this prefix
  }

  std::vector<Given> read_file(const std::string& file) {
    std::vector<Given> given;
    for (ConfigEntry& entry : read_config_file(file)) {
      const std::string where = fmt::format("{}:{}", file, entry.line);
      if (entry.name == "config") {
        violations_.push_back(where + ": a configuration file can't name another one");
      } else if (table_.find(entry.name) == nullptr) {
        report_unknown(where, entry.name);
      } else {
        given.push_back({std::move(entry.name), {std::move(entry.value)}, where});
      }
    }
    return given;
  }

  template <class Read>
  void collect(Read read) {
    try {
      std::map<std::string, std::vector<std::string>> found;
      for (Given& given : read()) {
        auto& texts = found[given.name];
        const Entry* const entry = table_.find(given.name);
        const bool list = entry != nullptr && entry->list;
        // On the command line a later value replaces an earlier one; in a file that is a mistake.
        if (given.where == command_line && !list) texts.clear();
        if (!texts.empty() && !list) {
          violations_.push_back(
              fmt::format("{}: {} is given more than once", given.where, given.name));
        }
        texts.insert(texts.end(), given.values.begin(), given.values.end());
        if (given.values.empty()) texts.emplace_back();
      }
      texts_.insert(found.begin(), found.end());
    } catch (const po::error& error) {
      violations_.push_back(fmt::format("{}: {}", command_line, error.what()));
    } catch (const UsageError& error) {
      violations_.emplace_back(error.what());
    }
  }

  // ": did you mean NAME?" with the closest option; empty if none is close.
  template <class Distance, class Spelling>
  std::string did_you_mean(Distance distance_to, Spelling spelling) const {
    const Entry* nearest = nullptr;
    std::size_t least = unlike;
    for (const Entry& entry : table_.entries_) {
      const std::size_t away = distance_to(entry.name);
      if (away >= least) continue;
      nearest = &entry;
      least = away;
    }
    return nearest == nullptr ? "" : ": did you mean " + spelling(nearest->name) + "?";
  }

  void report_unknown(const std::string& where, const std::string& name) {
    violations_.push_back(
        fmt::format("{}: there is no option {}{}", where, name,
                    did_you_mean([&](const auto& each) { return option_distance(each, name); },
                                 [](const auto& each) { return each; })));
  }

  void assign(Entry& entry) {
    const auto found = texts_.find(entry.name);
    if (found == texts_.end()) return;
    entry.set = true;
    const std::string wrong = entry.assign(found->second);
    if (!wrong.empty()) violations_.push_back(wrong);
  }

  OptionTable& table_;
  po::options_description known_;
  po::positional_options_description positional_;
  std::map<std::string, std::vector<std::string>> texts_;
  std::vector<std::string> violations_;
};

void OptionTable::parse(const std::vector<std::string>& arguments) {
  Parser(*this).run(arguments);
}

}  // namespace masformer
