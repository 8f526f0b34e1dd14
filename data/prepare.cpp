#include "data/prepare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <new>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <utility>

#include <fmt/ranges.h>

#include "data/text_reader.h"
#include "data/token_store.h"
#include "data/tokenizer.h"
#include "runtime/error.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

// What is wrong with the inputs, collected so that one message names everything.
class Problems {
 public:
  void add(std::string problem) { problems_.push_back(std::move(problem)); }
  bool any() const { return !problems_.empty(); }
  [[noreturn]] void refuse_all() const {
    constexpr std::size_t max_shown = 20;  // a wrong folder may hold thousands of files
    const std::size_t shown = std::min(problems_.size(), max_shown);
    const std::string more =
        shown < problems_.size() ? fmt::format("\n... and {} more", problems_.size() - shown) : "";
    refuse("{}{}", fmt::join(problems_.begin(), problems_.begin() + static_cast<long>(shown), "\n"),
           more);
  }

 private:
  std::vector<std::string> problems_;
};

// The files that the options name, in the order of their paths. A file with several names
// (spellings of its path, links) is taken once, by the first of them.
class FileFinder {
 public:
  FileFinder(const PrepareOptions& options, Problems& problems)
      : options_(options), problems_(problems) {}

  std::vector<fs::path> find() {
    for (const fs::path& input : options_.inputs) add_input(input);
    std::sort(files_.begin(), files_.end());
    drop_repeated();
    return std::move(files_);
  }

 private:
  void drop_repeated() {
    std::set<std::pair<dev_t, ino_t>> seen;
    std::erase_if(files_, [&](const fs::path& file) {
      struct stat status {};
      return stat(file.c_str(), &status) == 0 && !seen.emplace(status.st_dev, status.st_ino).second;
    });
  }

  void add_input(const fs::path& input) {
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (!fs::exists(status)) {
      problems_.add(fmt::format("can't read {}: {}", input.string(), error.message()));
    } else if (fs::is_directory(status)) {
      add_folder(input);
    } else if (fs::equivalent(input, options_.output, error)) {
      problems_.add(fmt::format("{} would be overwritten: name another --output", input.string()));
    } else {
      files_.push_back(input.lexically_normal());
    }
  }

  void add_folder(const fs::path& folder) {
    std::error_code error;
    fs::directory_iterator entries(folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      add_entry(*entries);
    }
    if (error) problems_.add(fmt::format("can't read {}: {}", folder.string(), error.message()));
  }

  // An entry that can't be examined, such as a broken link, is neither file nor folder.
  void add_entry(const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) {
      if (!entry.is_symlink(ignored)) add_folder(entry.path());
    } else if (entry.is_regular_file(ignored) && has_suffix(entry.path()) &&
               !fs::equivalent(entry.path(), options_.output, ignored)) {
      files_.push_back(entry.path().lexically_normal());
    }
  }

  bool has_suffix(const fs::path& file) const {
    const std::string name = file.filename().string();
    return options_.suffixes.empty() ||
           std::any_of(options_.suffixes.begin(), options_.suffixes.end(),
                       [&](const std::string& suffix) { return name.ends_with(suffix); });
  }

  const PrepareOptions& options_;
  Problems& problems_;
  std::vector<fs::path> files_;
};

// Whether a file begins with HDF5's signature, as `prepare` writes it. HDF5 itself may crash on a
// damaged store, which is the one most worth replacing, so it is not used here.
bool is_hdf5(const fs::path& file) {
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  std::array<char, signature.size()> begin{};
  std::ifstream(file, std::ios::binary).read(begin.data(), begin.size());
  return std::string_view(begin.data(), begin.size()) == signature;
}

// Whether the output exists and is an HDF5 file, which is taken for a token store, complete or not.
// Any other file that is not empty, such as text, is refused.
bool would_replace(const fs::path& output, Problems& problems) {
  std::error_code ignored;
  if (!fs::exists(output) || fs::is_empty(output, ignored)) return false;
  if (!fs::is_regular_file(output) || !is_hdf5(output)) {
    problems.add(
        fmt::format("{} exists and is not a token store: name another --output, or remove it",
                    output.string()));
  }
  return true;
}

// In nats per token, of tokens drawn independently with these counts: log N - sum c log c / N.
double entropy(const std::vector<std::int64_t>& counts, std::int64_t tokens) {
  double sum = 0;
  for (const std::int64_t count : counts) {
    const auto c = static_cast<double>(count);
    if (count > 0) sum += c * std::log(c);
  }
  const auto n = static_cast<double>(tokens);
  return std::log(n) - sum / n;
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options) {
  if (options.separator.find('\n') != std::string::npos) {
    refuse("a separator is one line, and this one holds a line break");
  }
  require(options.block_bytes > 0, "the block size is {} bytes, but must be at least 1",
          options.block_bytes);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(options.tokenizer);
  TokenStoreWriter writer(options.output, tokenizer->name(), tokenizer->vocabulary());
  Problems problems;
  const bool replaced = would_replace(options.output, problems);
  const std::vector<fs::path> files = FileFinder(options, problems).find();

  std::vector<std::int64_t> counts(static_cast<std::size_t>(tokenizer->vocabulary()));
  std::vector<std::uint32_t> ids;
  const auto add_document = [&](std::string_view text) {
    ids.clear();
    tokenizer->encode(text, ids);
    ids.push_back(tokenizer->end_of_document());
    for (const std::uint32_t id : ids) ++counts[id];
    writer.add_document(ids);
  };
  for (const fs::path& file : files) {
    try {
      data::read_documents(file, {options.separator, options.block_bytes}, add_document);
    } catch (const UsageError& error) {
      problems.add(error.what());
    } catch (const std::bad_alloc&) {
      refuse(
          "not enough memory for a document of {}: each document is held in memory while it is "
          "encoded; cut the file into documents by --separator, or use a machine with more memory",
          file.string());
    }
  }
  if (problems.any()) problems.refuse_all();
  if (writer.documents() == 0) {
    std::vector<std::string> names;
    for (const fs::path& input : options.inputs) names.push_back(input.string());
    refuse(
        "no document in {} ({} files were read): name files that hold text, or folders with such "
        "files, and check the suffixes",
        fmt::join(names, ", "), files.size());
  }
  writer.commit();
  return {static_cast<std::int64_t>(files.size()), writer.documents(), writer.tokens(), replaced,
          entropy(counts, writer.tokens())};
}

}  // namespace masformer
