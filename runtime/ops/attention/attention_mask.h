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

// The mask of one entry of the batch. Queries and keys count from 0 within the call.
struct IndexMask {
  Span span;
  std::int64_t query_offset, key_offset;
  std::int64_t queries, keys;      // how many the call has
  bool one_key_each;               // whether the span lets each query see only its own key
  const std::int32_t* first_keys;  // [S], on the device; null without documents

  // The keys that at least one of the queries [begin, end) sees; there is at least one query.
  constexpr PositionRange keys_of(std::int64_t begin, std::int64_t end) const {
    const PositionRange visible = visible_keys(span, {query_offset + begin, query_offset + end});
    const std::int64_t first = std::max(visible.begin, first_key_of(begin));
    return clamped({first - key_offset, visible.end - key_offset}, {0, keys});
  }
  constexpr PositionRange keys_of(std::int64_t query) const { return keys_of(query, query + 1); }

  // The queries that see at least one of the keys [begin, end).
  constexpr PositionRange queries_of(std::int64_t begin, std::int64_t end) const {
    const PositionRange seeing =
        seeing_queries(span, {key_offset + begin, key_offset + end}, query_offset + queries);
    return in_documents_before(
        key_offset + end,
        clamped({seeing.begin - query_offset, seeing.end - query_offset}, {0, queries}));
  }

  // Whether the gradients of a query's scores are exactly 0, because its weight is 1 whatever the
  // score is. The general formula would give rounding noise, by which AdamW, which divides by the
  // gradient's own size, moves the weights at full speed. Without documents, this holds only if all
  // queries see one key of their sequence.
  constexpr bool one_key(std::int64_t query) const {
    if (first_keys == nullptr) return one_key_each;
    const std::int64_t position = query_offset + query;
    return std::max(first_visible(span, position), first_key_of(query)) == position;
  }

  // The position of the first token of a query's document.
  constexpr std::int64_t first_key_of(std::int64_t query) const {
    return first_keys == nullptr ? 0 : first_keys[query];
  }

  // Those of the queries `among` whose document begins before `position`. They come first, because
  // documents are in order.
  constexpr PositionRange in_documents_before(std::int64_t position, PositionRange among) const {
    if (first_keys == nullptr) return among;
    std::int64_t low = among.begin, high = among.end;
    while (low < high) {  // bisect for the first query whose document begins at `position` or later
      const std::int64_t middle = low + (high - low) / 2;
      if (first_keys[middle] < position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return {among.begin, low};
  }
};

// The masks of all entries of the batch, in a call with `queries` queries and `keys` keys.
class BatchMask {
 public:
  BatchMask(const AttentionMask& mask, std::int64_t queries, std::int64_t keys)
      : first_{.span = mask.span,
               .query_offset = mask.query_offset,
               .key_offset = mask.key_offset,
               .queries = queries,
               .keys = keys,
               .one_key_each =
                   sees_only_itself(mask.span, {mask.query_offset, mask.query_offset + queries}),
               .first_keys = mask.first_keys ? mask.first_keys.data<std::int32_t>() : nullptr},
        stride_(mask.first_keys ? mask.first_keys.stride(0) : 0) {}

  constexpr IndexMask operator[](std::int64_t batch) const {
    IndexMask mask = first_;
    if (mask.first_keys != nullptr) mask.first_keys += batch * stride_;
    return mask;
  }

 private:
  IndexMask first_;
  std::int64_t stride_;  // between the first keys of entries
};

}  // namespace masformer
