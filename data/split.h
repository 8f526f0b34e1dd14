// Divides a store's documents into those to train on and those held out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/token_store.h"
#include "runtime/enum_names.h"

namespace masformer {

#define MASFORMER_SPLITS(SPLIT) SPLIT(all, "all") SPLIT(train, "train") SPLIT(held_out, "held-out")
MASFORMER_NAMED_ENUM(SplitKind, MASFORMER_SPLITS);
#undef MASFORMER_SPLITS

// The documents of one kind, concatenated to one sequence of tokens. Where the fraction is above 0,
// document 1 is held out, and after it each document d at which (d - 1) fraction passes a whole
// number. So the shares are exact to one document, are spread evenly, and depend on nothing else.
class Split {
 public:
  // Keeps a reference: the store must outlive the split. Throws UsageError unless
  // 0 <= held_out < 1.
  Split(const TokenStore& store, SplitKind kind, double held_out);

  std::int64_t tokens() const;
  std::int64_t documents() const;
  // Fills `out` with tokens [begin, begin + out.size()) of the split. Throws Error if the split has
  // no such tokens. Thread-safe.
  void read(std::int64_t begin, std::span<std::int32_t> out) const;
  // Where the documents of tokens [begin, begin + count) start, relative to `begin`. Ascending; the
  // first is 0, also if that document starts before `begin`. Empty if `count` is 0. Throws Error as
  // read() does.
  std::vector<std::int64_t> document_starts(std::int64_t begin, std::int64_t count) const;

 private:
  struct Piece {
    std::int64_t begin;     // in the split
    std::int64_t in_store;  // its first token in the store
  };
  void require_tokens(std::int64_t begin, std::int64_t end) const;
  // The document of the token at `begin`.
  std::vector<Piece>::const_iterator piece_at(std::int64_t begin) const;

  const TokenStore* store_;
  std::vector<Piece> pieces_;
  std::int64_t tokens_ = 0;
};

}  // namespace masformer
