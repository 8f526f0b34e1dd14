// Reads a text file block by block, checks that it is UTF-8, and cuts it into documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace masformer::data {

struct TextReaderOptions {
  std::string separator;         // a line that ends a document; empty: one document per file
  std::int64_t block_bytes = 0;  // per read
};

// Calls `use` for each document that is not empty, in order. A separator line, which may end with
// LF or CR LF, belongs to no document; nothing else is skipped or changed. Throws UsageError if
// the file can't be read, or with the byte, counted from 0, at which it stops being UTF-8. `use`
// may have been called for the documents before that byte.
void read_documents(const std::filesystem::path& file, const TextReaderOptions& options,
                    const std::function<void(std::string_view document)>& use);

}  // namespace masformer::data
