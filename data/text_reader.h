// Reads a text file block by block, checks that it is UTF-8, and cuts it into documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace masformer::data {

struct TextReaderOptions {
  std::string separator;         // a line that ends a document; empty: one document a file
  std::int64_t block_bytes = 0;  // read at once
};

// Calls `use` for each document that is not empty, in order. A separator line (its line ending may
// be LF or CR LF) belongs to no document; nothing else is left out or changed. Throws UsageError
// that gives the byte, counted from 0, at which the file stops being UTF-8; documents before that
// may have been used.
void read_documents(const std::filesystem::path& file, const TextReaderOptions& options,
                    const std::function<void(std::string_view document)>& use);

}  // namespace masformer::data
