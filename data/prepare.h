// `masformer prepare`: files of UTF-8 text to a token store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masformer {

struct PrepareOptions {
  std::vector<std::filesystem::path> inputs;  // files, or folders that are searched through
  std::filesystem::path output;
  std::string tokenizer = "byte";
  std::vector<std::string> suffixes;  // of the files taken from folders; empty takes all
  std::string separator;              // a line that ends a document; empty: one document a file
  std::int64_t block_bytes = std::int64_t{1} << 20;  // per read
};

struct PrepareResult {
  std::int64_t files = 0;
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  bool replaced = false;       // whether an HDF5 file was replaced
  double unigram_entropy = 0;  // nats per token: the loss that a model without context can reach
};

// Files are read in the order of their paths, so that the store depends on the input alone. A file
// is read once, however many names it has: files are compared by device and inode. Links to folders
// inside a folder are not followed, and the output is never its own input. Empty documents are
// skipped; a separator line belongs to no document. One document at a time is held in memory.
//
// The output may replace an empty file or an HDF5 file, damaged or not, and nothing else. Throws
// UsageError that lists every input that is missing, can't be read, or is not UTF-8 (with the byte
// where it stops being so), and where no document is found or one is too large for the memory.
PrepareResult prepare(const PrepareOptions& options);

}  // namespace masformer
