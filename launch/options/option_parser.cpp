// The three sources of options, read by Boost.Program_options as texts; the table's entries give
// them their types.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <boost/program_options.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/options/option_table.h"
#include "runtime/error.h"

extern char** environ;

namespace po = boost::program_options;

namespace masformer {
namespace {

constexpr const char* command_line = "the command line";

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string environment_name(const std::string& option) {
  std::string name = "MASFORMER_" + upper_case(option);
  std::ranges::replace(name, '.', '_');
  return name;
}

// Levenshtein's distance, for "did you mean"; some number above `most` where it is more than that.
std::size_t distance(const std::string& a, const std::string& b, std::size_t most) {
  if (a.size() > b.size() + most || b.size() > a.size() + most) return most + 1;
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

}  // namespace

class OptionTable::Parser {
 public:
  explicit Parser(OptionTable& table) : table_(table) {
    for (const Entry& entry : table.entries_) describe(entry);
    if (table.config_allowed_) known_.add_options()("config", po::value<std::string>());
  }

  void run(const std::vector<std::string>& arguments) {
    collect(command_line, [&] { return read_arguments(arguments); });
    collect("the environment", [&] { return read_environment(); });
    const auto config = texts_.find("config");
    if (config != texts_.end()) {
      const std::string file = config->second.back();
      collect(file, [&] { return read_file(file); });
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

  po::basic_parsed_options<char> read_arguments(const std::vector<std::string>& arguments) const {
    using namespace po::command_line_style;
    po::command_line_parser parser(arguments);
    // Without a place for them, free words come back as options without a name.
    if (positional_.max_total_count() > 0) parser.positional(positional_);
    return parser.options(known_)
        .style(allow_long | long_allow_adjacent | long_allow_next)
        .allow_unregistered()
        .run();
  }

  po::basic_parsed_options<char> read_environment() {
    for (char** variable = environ; *variable != nullptr; ++variable) {
      check_environment(std::string(*variable).substr(0, std::string(*variable).find('=')));
    }
    return po::parse_environment(known_, [this](const std::string& variable) {
      for (const Entry& entry : table_.entries_) {
        const bool in_section = entry.name.find('.') != std::string::npos;
        if (in_section && environment_name(entry.name) == variable) return entry.name;
      }
      return std::string();
    });
  }

  // A variable of one of our sections that names no option, or that nearly names one, is a slip of
  // the pen.
  void check_environment(const std::string& variable) {
    bool slip = false;
    for (const Entry& entry : table_.entries_) {
      const auto dot = entry.name.find('.');
      if (dot == std::string::npos) continue;
      const std::string name = environment_name(entry.name);
      if (name == variable) return;
      slip |= variable.starts_with(environment_name(entry.name.substr(0, dot + 1))) ||
              distance(name, upper_case(variable), 2) <= 2;
    }
    if (slip && table_.config_allowed_) {
      violations_.push_back(fmt::format("the environment: {} names no option{}", variable,
                                        did_you_mean(upper_case(variable), environment_name)));
    }
  }

  po::basic_parsed_options<char> read_file(const std::string& file) {
    std::ifstream stream(file);
    if (!stream || std::filesystem::is_directory(file)) {
      refuse("{}: no configuration file can be read there", file);
    }
    auto parsed = po::parse_config_file(stream, known_, true);
    const auto nested = std::erase_if(
        parsed.options, [](const auto& option) { return option.string_key == "config"; });
    if (nested > 0) violations_.push_back(file + ": a configuration file can't name another one");
    return parsed;
  }

  template <class Read>
  void collect(const std::string& source, Read read) {
    try {
      std::map<std::string, std::vector<std::string>> found;
      bool after_unknown = false;
      for (const auto& option : read().options) {
        const bool nameless = option.string_key.empty();
        if (option.unregistered || nameless) {
          // A word behind an unknown option is its value.
          if (!nameless || !after_unknown) report_unknown(source, option);
          after_unknown = !nameless;
          continue;
        }
        after_unknown = false;
        auto& texts = found[option.string_key];
        const Entry* const entry = table_.find(option.string_key);
        const bool list = entry != nullptr && entry->list;
        // On the command line a later word corrects an earlier one; in a file it is a mistake.
        if (source == command_line && !list) texts.clear();
        if (!texts.empty() && !list) {
          violations_.push_back(
              fmt::format("{}: {} is given more than once", source, option.string_key));
        }
        texts.insert(texts.end(), option.value.begin(), option.value.end());
        if (option.value.empty()) texts.emplace_back();
      }
      texts_.insert(found.begin(), found.end());  // an earlier source wins
    } catch (const po::error& error) {
      violations_.push_back(fmt::format("{}: {}", source, error.what()));
    } catch (const UsageError& error) {
      violations_.emplace_back(error.what());
    }
  }

  // ": did you mean NAME?", where an option's name, as `spelt` there, is near to what was written.
  template <class Spelt>
  std::string did_you_mean(const std::string& written, Spelt spelt) const {
    std::string nearest;
    std::size_t nearest_away = 4;  // farther is another word
    for (const Entry& entry : table_.entries_) {
      const std::size_t away = distance(spelt(entry.name), written, nearest_away);
      if (away >= nearest_away) continue;
      nearest = spelt(entry.name);
      nearest_away = away;
    }
    return nearest.empty() ? "" : ": did you mean " + nearest + "?";
  }

  void report_unknown(const std::string& source, const po::basic_option<char>& option) {
    const std::string name = option.string_key.empty()
                                 ? fmt::format("{}", fmt::join(option.value, " "))
                                 : option.string_key;
    violations_.push_back(fmt::format("{}: there is no option {}{}", source, name,
                                      did_you_mean(name, [](const auto& as) { return as; })));
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
