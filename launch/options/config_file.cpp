#include "launch/options/config_file.h"

#include <filesystem>
#include <fstream>
#include <string_view>

#include <fmt/ranges.h>

#include "runtime/error.h"
#include "runtime/trimmed.h"

namespace masformer {
namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// The line up to its comment. Within a word, # is part of it, as in a folder's name.
std::string_view without_comment(std::string_view line) {
  for (std::size_t at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1)) {
    if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') return line.substr(0, at);
  }
  return line;
}

class Reader {
 public:
  // Reads one line. Returns false if it is not empty, a section or an entry.
  bool take(std::string_view line, int number) {
    line = trimmed(without_comment(line));
    if (line.empty()) return true;
    if (line.starts_with('[') && line.ends_with(']')) {
      section_ = std::string(line.substr(1, line.size() - 2)) + ".";
      return true;
    }
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos || trimmed(line.substr(0, equals)).empty()) return false;
    entries.push_back({section_ + std::string(trimmed(line.substr(0, equals))),
                       std::string(trimmed(line.substr(equals + 1))), number});
    return true;
  }

  std::vector<ConfigEntry> entries;

 private:
  std::string section_;
};

}  // namespace

std::vector<ConfigEntry> read_config_file(const std::string& file) {
  std::ifstream stream(file);
  if (!stream || std::filesystem::is_directory(file)) {
    refuse("can't read the configuration file {}", file);
  }
  Reader reader;
  std::vector<std::string> violations;
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    if (++number == 1 && line.starts_with(byte_order_mark)) line.erase(0, byte_order_mark.size());
    if (reader.take(line, number)) continue;
    violations.push_back(
        fmt::format("{}:{}: \"{}\" is neither [SECTION] nor KEY = VALUE", file, number, line));
  }
  if (!violations.empty()) refuse("{}", fmt::join(violations, "\n"));
  return std::move(reader.entries);
}

}  // namespace masformer
