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
  // Fills `out` with tokens [begin, begin + out.size()) of the split and, if `document` is not
  // empty, `document` with the number in the store of each token's document. Throws Error if the
  // split has no such tokens. Thread-safe.
  void read(std::int64_t begin, std::span<std::int32_t> out,
            std::span<std::int32_t> document = {}) const;

 private:
  struct Piece {
    std::int64_t begin;     // in the split
    std::int64_t in_store;  // its first token in the store
    std::int32_t document;
  };
  const TokenStore* store_;
  std::vector<Piece> pieces_;
  std::int64_t tokens_ = 0;
};

}  // namespace masformer
