// A token store is an HDF5 file with /tokens (one dimension, uint16 or uint32) and /documents (each
// document's first token, uint64). docs/token-store-format.md describes it byte by byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace masformer {

// Writes a store under a temporary name beside `path`, and renames it when it is complete and
// durable: a crash leaves no incomplete store under the real name. What a killed process left under
// a temporary name is removed when the next writer of the same store starts.
class TokenStoreWriter {
 public:
  // Ids are stored in 16 bits where `vocabulary` permits. Throws UsageError if the folder is
  // missing or can't be written.
  TokenStoreWriter(std::filesystem::path path, std::string tokenizer, std::int64_t vocabulary);
  ~TokenStoreWriter();  // discards what was not committed
  TokenStoreWriter(const TokenStoreWriter&) = delete;
  TokenStoreWriter& operator=(const TokenStoreWriter&) = delete;

  // Appends one document, its end-of-document token included.
  void add_document(std::span<const std::uint32_t> ids);
  // Throws UsageError for a store without tokens. While it writes, SIGINT, SIGTERM and SIGHUP end
  // the process only after the temporary file is removed.
  void commit();

  std::int64_t tokens() const;
  std::int64_t documents() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A store that is open for reading. Opening uses HDF5, on the calling thread; read() reads the file
// by offset, without HDF5, and may be called from several threads.
class TokenStore {
 public:
  // Throws UsageError that names the file and what is wrong with it: missing, not HDF5, no /tokens,
  // a wrong type, no tokens, documents out of order.
  explicit TokenStore(std::filesystem::path path);
  ~TokenStore();
  TokenStore(TokenStore&& other) noexcept;
  TokenStore& operator=(TokenStore&& other) noexcept;
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  const std::filesystem::path& path() const;
  std::int64_t tokens() const;
  std::int64_t vocabulary() const;  // from the file; the largest id + 1 where it has none
  std::int64_t largest_id() const;  // from the file; found by a scan where it has none
  std::string tokenizer() const;    // "" if the file has none
  const std::vector<std::uint64_t>& documents() const;  // first tokens, ascending, the first is 0
  // XXH3-128 of the tokens and the documents, which a resume compares: 32 hexadecimal digits. Reads
  // the whole file, and checks all ids: throws UsageError where one is above largest_id().
  std::string digest() const;

  // Tokens [begin, begin + out.size()). Throws Error if the store has no such tokens or they
  // can't be read, and where an id is above largest_id(): the file is damaged, and no such id may
  // reach a model.
  void read(std::int64_t begin, std::span<std::int32_t> out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masformer
