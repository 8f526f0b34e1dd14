// The part of a store's documents that is trained on, and the part that is held out.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "data/token_store.h"

namespace masformer {

enum class SplitKind { all, train, held_out };

// "all", "train", "held-out". Throws UsageError.
SplitKind parse_split(std::string_view text);

// The documents of one kind, one behind another, seen as one run of tokens. Of a fraction above 0
// document 1 is held out, and from there on each at which (d - 1) fraction passes a whole number:
// the shares are right to one document, spread evenly, and depend on nothing else.
class Split {
 public:
  // Keeps a reference: the store outlives the split. Requires 0 <= held_out < 1.
  Split(const TokenStore& store, SplitKind kind, double held_out);

  std::int64_t tokens() const;
  std::int64_t documents() const;
  // Tokens [begin, begin + out.size()) of the split and, if `document` is not empty, the number
  // within the store of the document that each belongs to. Throws Error where they lie outside.
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
