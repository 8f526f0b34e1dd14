// The description of a token store in its file, and the place of the tokens. Internal to the reader
// and the writer; docs/token-store-format.md describes the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace masformer::data {

inline constexpr const char* store_format = "masformer-tokens";
inline constexpr std::int64_t store_version = 1;

struct StoreLayout {
  std::int64_t offset = 0;  // bytes from the start of the file to the first token
  std::int64_t tokens = 0;
  int token_bytes = 0;           // 2 or 4
  std::int64_t vocabulary = -1;  // -1 where the file has none
  std::int64_t largest_id = -1;  // -1 where the file has none
  std::string tokenizer;         // "" if the file has none
  std::vector<std::uint64_t> documents;
};

// Reads everything except the tokens. Throws UsageError that names the file and what is wrong with
// it.
StoreLayout read_store_layout(const std::filesystem::path& path);

// A store's file without the tokens, which belong at byte `offset`. `bytes` is the file from its
// start; where it extends beyond the offset, it includes what follows the tokens.
struct StoreFrame {
  std::vector<std::byte> bytes;
  std::int64_t offset = 0;
};

// Made in memory, since HDF5 crashes when a write of its own fails, as on a full disk.
// `layout.offset` is not used.
StoreFrame frame_store(const StoreLayout& layout);

}  // namespace masformer::data
