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

  // The first key that the query at a position sees, which is a position, too.
  constexpr std::int64_t first(std::int64_t position) const {
    const std::int64_t of_span = first_visible(span, position);
    if (first_keys == nullptr) return of_span;
    return std::max<std::int64_t>(of_span, first_keys[position - query_offset]);
  }

  // The keys that at least one of the queries [begin, end) sees; there is at least one query.
  constexpr PositionRange keys_of(std::int64_t begin, std::int64_t end) const {
    return clamped({first(query_offset + begin) - key_offset, query_offset + end - key_offset},
                   {0, keys});
  }
  constexpr PositionRange keys_of(std::int64_t query) const { return keys_of(query, query + 1); }

  // The queries that see at least one of the keys [begin, end).
  constexpr PositionRange queries_of(std::int64_t begin, std::int64_t end) const {
    const PositionRange seeing = seeing_queries(
        [this](std::int64_t position) { return first(position); },
        {key_offset + begin, key_offset + end}, {query_offset, query_offset + queries});
    return {seeing.begin - query_offset, seeing.end - query_offset};
  }

  // Whether the gradients of a query's scores are exactly 0, because its weight is 1 whatever the
  // score is. The general formula would give rounding noise, by which AdamW, which divides by the
  // gradient's own size, moves the weights at full speed. Without documents, this holds only if all
  // queries see one key of their sequence.
  constexpr bool one_key(std::int64_t query) const {
    if (first_keys == nullptr) return one_key_each;
    return first(query_offset + query) == query_offset + query;
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
