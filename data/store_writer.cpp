#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "data/store_layout.h"
#include "data/temporary_file.h"
#include "data/token_store.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t block_bytes = std::size_t{1} << 20;

void check_place(const fs::path& path) {
  if (!fs::is_directory(data::folder_of(path))) {
    refuse("can't write {}: there is no folder {}; create it first", path.string(),
           data::folder_of(path).string());
  }
  if (!path.has_filename() || fs::is_directory(path)) {
    refuse("can't write {}: it is a folder; name a file in it", path.string());
  }
}

// Appends `ids`, each in the bytes of a Stored.
template <class Stored>
void append_as(std::span<const std::uint32_t> ids, std::vector<std::byte>& bytes) {
  std::size_t at = bytes.size();
  bytes.resize(at + ids.size() * sizeof(Stored));
  for (const std::uint32_t id : ids) {
    const auto stored = static_cast<Stored>(id);
    std::memcpy(bytes.data() + at, &stored, sizeof stored);
    at += sizeof stored;
  }
}

}  // namespace

// A contiguous dataset can't grow, so the tokens wait in a file without a name until their number
// is known. The system frees that file however the program ends.
struct TokenStoreWriter::State {
  State(fs::path store_path, std::string tokenizer, std::int64_t vocabulary);
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() = default;
  void flush();
  void write_store(io::File& store, const data::HeldSignals& signals) const;
  void copy_tokens(io::File& store, std::int64_t offset, const data::HeldSignals& signals) const;

  fs::path path;
  fs::path temporary;  // a file has this name only within commit()
  data::StoreLayout layout;
  io::File waiting;
  std::int64_t waiting_bytes = 0;
  std::vector<std::byte> buffer;  // tokens that follow those in the file
  bool committed = false;
};

TokenStoreWriter::State::State(fs::path store_path, std::string tokenizer, std::int64_t vocabulary)
    : path(std::move(store_path)), temporary(data::temporary_name(path)) {
  constexpr std::int64_t ids_of_16_bits = 65536;
  layout.token_bytes = vocabulary <= ids_of_16_bits ? 2 : 4;
  layout.vocabulary = vocabulary;
  layout.tokenizer = std::move(tokenizer);
  check_place(path);
  data::remove_abandoned(path);
  waiting = data::open_temporary(temporary);
  fs::remove(temporary);
}

void TokenStoreWriter::State::flush() {
  waiting.write_at(waiting_bytes, buffer);
  waiting_bytes += static_cast<std::int64_t>(buffer.size());
  buffer.clear();
}

void TokenStoreWriter::State::copy_tokens(io::File& store, std::int64_t offset,
                                          const data::HeldSignals& signals) const {
  std::vector<std::byte> block(block_bytes);
  for (std::int64_t at = 0; at < waiting_bytes;) {
    if (signals.any()) fail("{} was not written: a signal stopped `prepare`", path.string());
    const auto size = std::min(block.size(), static_cast<std::size_t>(waiting_bytes - at));
    const std::span<std::byte> part(block.data(), size);
    waiting.read_at(at, part);
    store.write_at(offset + at, part);
    at += static_cast<std::int64_t>(size);
  }
}

void TokenStoreWriter::State::write_store(io::File& store, const data::HeldSignals& signals) const {
  const data::StoreFrame frame = data::frame_store(layout);
  store.write_at(0, frame.bytes);
  copy_tokens(store, frame.offset, signals);
  store.sync();
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) io::fail_for_errno("write", path, error.value());
}

TokenStoreWriter::TokenStoreWriter(fs::path path, std::string tokenizer, std::int64_t vocabulary)
    : state_(std::make_unique<State>(std::move(path), std::move(tokenizer), vocabulary)) {}
TokenStoreWriter::~TokenStoreWriter() = default;

void TokenStoreWriter::add_document(std::span<const std::uint32_t> ids) {
  State& s = *state_;
  require(!s.committed, "{} is complete: no document can be added", s.path.string());
  require(!ids.empty(), "document {} of {} has no tokens", documents(), s.path.string());
  const std::int64_t largest = *std::max_element(ids.begin(), ids.end());
  require(largest < s.layout.vocabulary,
          "id {} in document {} of {} is beyond the vocabulary of {}", largest, documents(),
          s.path.string(), s.layout.vocabulary);
  s.layout.largest_id = std::max(s.layout.largest_id, largest);
  s.layout.documents.push_back(static_cast<std::uint64_t>(s.layout.tokens));
  s.layout.tokens += static_cast<std::int64_t>(ids.size());
  s.layout.token_bytes == 2 ? append_as<std::uint16_t>(ids, s.buffer)
                            : append_as<std::uint32_t>(ids, s.buffer);
  if (s.buffer.size() >= block_bytes) s.flush();
}

void TokenStoreWriter::commit() {
  State& s = *state_;
  require(!s.committed, "{} is already complete", s.path.string());
  if (s.layout.tokens == 0) {
    refuse("{} would hold no tokens: prepare it from text that isn't empty", s.path.string());
  }
  s.flush();
  const data::HeldSignals signals;  // until the temporary file is renamed or removed
  io::File store = data::open_temporary(s.temporary);
  try {
    s.write_store(store, signals);
  } catch (...) {
    std::error_code ignored;
    fs::remove(s.temporary, ignored);
    throw;
  }
  s.committed = true;
  io::sync_folder(data::folder_of(s.path));
}

std::int64_t TokenStoreWriter::tokens() const {
  return state_->layout.tokens;
}
std::int64_t TokenStoreWriter::documents() const {
  return static_cast<std::int64_t>(state_->layout.documents.size());
}

}  // namespace masformer
