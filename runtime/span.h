// A layer's attention span, and the mask that it defines (MASFormer, arXiv 2310.12442).
//
// A span answers one question: which keys does a query see? Everything else about a mask is
// derived from that answer: what the kernels skip, the FLOP count, and what the balancer and the
// context exchange will need. A new kind of span is a row in MASFORMER_SPANS and a function in
// first_key.
//
//   full       keys [0, i]                    causal attention
//   window:w   keys (i - w, i]                w keys, the query's own among them
//   block:b    keys [b (floor(i/b) - 1), i]   the own block up to itself, the whole block before
//
// Positions count from 0 within a sequence. The geometry is constexpr, so that kernels on any
// device can use it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/enum_names.h"

namespace masformer {

// The kinds of span: value, name, and what stands for the size in messages; "" for a kind that has
// no size. Texts are "name" or "name:size".
#define MASFORMER_SPANS(SPAN) \
  SPAN(full, "full", "")      \
  SPAN(window, "window", "w") \
  SPAN(block, "block", "b")
MASFORMER_NAMED_ENUM(SpanKind, MASFORMER_SPANS);

struct Span {
  using Kind = SpanKind;
  Kind kind = Kind::full;
  std::int64_t size = 0;  // keys of a window, or positions of a block; 0 for full

  bool operator==(const Span&) const = default;
};

// For each kind, the first key that the query at position `query` sees; a negative result means key
// 0. Never decreases with `query`.
namespace first_key {

constexpr std::int64_t full(std::int64_t /*query*/, std::int64_t /*size*/) {
  return 0;
}
constexpr std::int64_t window(std::int64_t query, std::int64_t size) {
  return query - size + 1;
}
constexpr std::int64_t block(std::int64_t query, std::int64_t size) {
  return (query / size - 1) * size;
}

}  // namespace first_key

// Positions [begin, end).
struct PositionRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  constexpr std::int64_t size() const { return end - begin; }
  bool operator==(const PositionRange&) const = default;
};

// The first key that the query at position `query` sees. It sees all keys from there to itself.
// Never decreases with `query`.
constexpr std::int64_t first_visible(const Span& span, std::int64_t query) {
#define MASFORMER_FIRST_KEY(kind, ...) \
  case SpanKind::kind:                 \
    return std::max<std::int64_t>(0, first_key::kind(query, span.size));
  switch (span.kind) { MASFORMER_SPANS(MASFORMER_FIRST_KEY) }
#undef MASFORMER_FIRST_KEY
  return query;  // not reached
}

// Whether each of `queries` sees its own key and no other.
constexpr bool sees_only_itself(const Span& span, PositionRange queries) {
  for (std::int64_t query = queries.begin; query < queries.end; ++query) {
    if (first_visible(span, query) != query) return false;
  }
  return true;
}

// The keys that at least one of `queries` sees.
constexpr PositionRange visible_keys(const Span& span, PositionRange queries) {
  if (queries.size() <= 0) return {queries.begin, queries.begin};
  return {first_visible(span, queries.begin), queries.end};
}

// Those of `queries` that see at least one of `keys`. `first(query)` is the first key that the
// query at a position sees; it is at most `query` and never decreases with it. The mask of a span,
// also where documents cut it, is such a function.
template <class First>
constexpr PositionRange seeing_queries(const First& first, PositionRange keys,
                                       PositionRange queries) {
  const std::int64_t begin = std::max(queries.begin, std::min(keys.begin, queries.end));
  if (keys.size() <= 0) return {begin, begin};
  std::int64_t low = begin, high = queries.end;
  while (low < high) {  // bisect for the first query that sees none
    const std::int64_t middle = low + (high - low) / 2;
    if (first(middle) < keys.end) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return {begin, low};
}

enum class Visibility : std::uint8_t { none, partly, all };

// How many of the pairs in queries x keys are visible.
Visibility visibility(const Span& span, PositionRange queries, PositionRange keys);

// How many (query, key) pairs of a sequence are visible, in constant time, and how many within a
// document that is packed into it.
std::int64_t visible_pairs(const Span& span, std::int64_t sequence);
std::int64_t visible_pairs(const Span& span, PositionRange document);

// Whether spans of a kind have a size.
bool has_size(SpanKind kind);

// The forms of spans, for messages: "full, window:w or block:b".
std::string span_forms();

// "full", "window:256", "block:64". Throws UsageError that quotes the text and names the forms.
Span parse_span(std::string_view text);
std::string to_string(const Span& span);

// A comma-separated list, where `*n` repeats an entry: "full*8,window:256*16". Throws UsageError.
std::vector<Span> parse_spans(std::string_view text);
// The shortest list that parse_spans() reads back.
std::string to_string(const std::vector<Span>& spans);

}  // namespace masformer
