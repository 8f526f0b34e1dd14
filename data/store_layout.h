// What a token store's file says about itself, and where its numbers lie. Internal to the reader
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
  std::int64_t offset = 0;  // of the first token in the file, bytes
  std::int64_t tokens = 0;
  int token_bytes = 0;           // 2 or 4
  std::int64_t vocabulary = -1;  // this and the next: -1 where the file says nothing
  std::int64_t largest_id = -1;
  std::string tokenizer;  // "" where the file says nothing
  std::vector<std::uint64_t> documents;
};

// Reads all but the tokens. Throws UsageError that names the file and what is wrong with it.
StoreLayout read_store_layout(const std::filesystem::path& path);

// A store's file but for the tokens, which belong at byte `offset`. `bytes` begin the file; where
// they reach beyond the offset, what stands behind the tokens is in its place, too.
struct StoreFrame {
  std::vector<std::byte> bytes;
  std::int64_t offset = 0;
};

// Made in memory: HDF5 does not survive it when its own writing fails, as it does on a full disk.
// `layout.offset` is not used.
StoreFrame frame_store(const StoreLayout& layout);

}  // namespace masformer::data
