// The visible part of a block, in indices of queries and keys instead of positions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/ops/attention/attention.h"
#include "runtime/span.h"

namespace masformer {

// The part of `range` that is within `whole`; an empty range inside of `whole` if they do not
// overlap.
constexpr PositionRange clamped(PositionRange range, PositionRange whole) {
  const std::int64_t begin = std::max(whole.begin, std::min(range.begin, whole.end));
  return {begin, std::max(begin, std::min(range.end, whole.end))};
}

// The mask of a call with `queries` queries and `keys` keys.
class IndexMask {
 public:
  constexpr IndexMask(const AttentionMask& mask, std::int64_t queries, std::int64_t keys)
      : mask_(mask),
        queries_(queries),
        keys_(keys),
        one_key_each_(
            sees_only_itself(mask.span, {mask.query_offset, mask.query_offset + queries})) {}

  // The keys that at least one of the queries [begin, end) sees.
  constexpr PositionRange keys_of(std::int64_t begin, std::int64_t end) const {
    const PositionRange visible =
        visible_keys(mask_.span, {mask_.query_offset + begin, mask_.query_offset + end});
    return clamped({visible.begin - mask_.key_offset, visible.end - mask_.key_offset}, {0, keys_});
  }
  constexpr PositionRange keys_of(std::int64_t query) const { return keys_of(query, query + 1); }

  // The queries that see at least one of the keys [begin, end).
  constexpr PositionRange queries_of(std::int64_t begin, std::int64_t end) const {
    const PositionRange seeing =
        seeing_queries(mask_.span, {mask_.key_offset + begin, mask_.key_offset + end},
                       mask_.query_offset + queries_);
    return clamped({seeing.begin - mask_.query_offset, seeing.end - mask_.query_offset},
                   {0, queries_});
  }

  // Whether every query sees only one key of its sequence. Its weight is 1 whatever the score is,
  // so that q and k have no gradients. The general formula would give them rounding noise, by which
  // AdamW, which divides by the gradient's own size, moves the weights at full speed.
  constexpr bool one_key_each() const { return one_key_each_; }

 private:
  AttentionMask mask_;
  std::int64_t queries_;
  std::int64_t keys_;
  bool one_key_each_;
};

}  // namespace masformer
