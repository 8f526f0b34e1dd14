// The options of `masformer train` from their three sources. The input's lines up to an empty one
// are words of the command line, or variables of the environment where they begin with MASFORMER_;
// the rest is the configuration file. What is accepted reads back from its record, and from a
// command line that names every value.
#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "data/utf8.h"
#include "launch/options/options.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/support/option_sources.h"

namespace masformer::fuzz {
namespace {

using Record = std::map<std::string, std::string>;

struct Input {
  std::vector<std::string> words;
  std::deque<test::Variable> variables;
  std::string config;
};

void read_variable(std::string_view line, Input& input) {
  const std::size_t end = std::min(line.find('='), line.size());
  const std::size_t begin = std::min(end + 1, line.size());
  input.variables.emplace_back(std::string(line.substr(0, end)), std::string(line.substr(begin)));
}

Input read_input(std::string_view text) {
  Input input;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) break;
    if (line.starts_with("MASFORMER_")) {
      read_variable(line, input);
    } else if (!line.starts_with("--config")) {  // the fuzzer reads no other files
      input.words.emplace_back(line);
    }
  }
  input.config = text;
  return input;
}

// The record of the options after `words`; nothing if they are refused.
std::optional<Record> record_of(const std::vector<std::string>& words) {
  return accepted([&] {
    Options options;
    OptionTable table = describe(options);
    table.parse(words);
    return table.record();
  });
}

void check_reads_back(const Record& record) {
  Options options;
  OptionTable table = describe(options);
  table.apply_record(record);
  check(table.record() == record, "a record reads back");
  std::vector<std::string> words;
  for (const auto& [name, value] : record) {
    check(data::is_utf8(value), "a record may travel as JSON");
    if (!value.empty()) words.push_back("--" + name + "=" + value);
  }
  check(record_of(words) == record, "a command line of all values reads back");
}

// Removes the machine's variables, since an input brings its own and reading each takes time. Keeps
// TMPDIR, where scratch files are written.
bool empty_environment() {
  const char* const folder = std::getenv("TMPDIR");
  const std::string kept = folder == nullptr ? "/tmp" : folder;
  return clearenv() == 0 && setenv("LANG", "C", 1) == 0 && setenv("TMPDIR", kept.c_str(), 1) == 0;
}

void check_options(std::string_view text) {
  static const bool emptied = empty_environment();
  check(emptied, "the environment can be emptied");
  std::optional<Record> record;
  {
    Input input = read_input(text);
    const ScratchFile file(input.config);
    if (!input.config.empty()) input.words.insert(input.words.begin(), {"--config", file.path()});
    record = record_of(input.words);
  }
  if (record) check_reads_back(*record);
}

}  // namespace
}  // namespace masformer::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  masformer::fuzz::check_options(masformer::fuzz::text_of(data, size));
  return 0;
}
