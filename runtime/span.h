// A layer's attention span, and the mask that it stands for (MASFormer, arXiv 2310.12442).
//
// A span answers one question: which keys does a query see? Everything else about a mask is
// derived from that answer: what the kernels skip and what the FLOP count is; the balancer's
// costs and the keys that a context rank must fetch are to come from it, too. A new span is one
// more case in first_visible().
//
//   full       keys [0, i]                    causal attention
//   window:w   keys (i - w, i]                w keys, the query's own among them
//   block:b    keys [b (floor(i/b) - 1), i]   the own block up to itself, the whole block before
//
// Positions count from 0 within a sequence. The geometry is constexpr, so that kernels on any
// device ask it, too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

struct Span {
  enum class Kind : std::uint8_t { full, window, block };
  Kind kind = Kind::full;
  std::int64_t size = 0;  // keys of a window, or positions of a block; 0 for full

  bool operator==(const Span&) const = default;
};

// Positions [begin, end).
struct PositionRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  constexpr std::int64_t size() const { return end - begin; }
  bool operator==(const PositionRange&) const = default;
};

// The first key that the query at position `query` sees. It sees all from there to itself. Never
// decreases with `query`.
constexpr std::int64_t first_visible(const Span& span, std::int64_t query) {
  switch (span.kind) {
    case Span::Kind::full:
      return 0;
    case Span::Kind::window:
      return std::max<std::int64_t>(0, query - span.size + 1);
    case Span::Kind::block:
      break;
  }
  return std::max<std::int64_t>(0, (query / span.size - 1) * span.size);
}

// The keys that at least one of `queries` sees.
constexpr PositionRange visible_keys(const Span& span, PositionRange queries) {
  if (queries.size() <= 0) return {queries.begin, queries.begin};
  return {first_visible(span, queries.begin), queries.end};
}

// The queries that see at least one of `keys`, in a sequence of `sequence` positions.
constexpr PositionRange seeing_queries(const Span& span, PositionRange keys,
                                       std::int64_t sequence) {
  if (keys.size() <= 0 || keys.begin >= sequence) return {keys.begin, keys.begin};
  std::int64_t low = keys.begin + 1;  // query keys.begin sees its own key
  std::int64_t high = sequence;
  while (low < high) {  // first_visible never decreases: bisect for the first that sees none
    const std::int64_t middle = low + (high - low) / 2;
    if (first_visible(span, middle) < keys.end) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return {keys.begin, low};
}

enum class Visibility : std::uint8_t { none, partly, all };

// Which of the pairs in queries x keys are visible.
Visibility visibility(const Span& span, PositionRange queries, PositionRange keys);

// How many (query, key) pairs of a sequence are visible.
std::int64_t visible_pairs(const Span& span, std::int64_t sequence);

// "full", "window:256", "block:64". Throws UsageError that quotes the text and names the forms.
Span parse_span(std::string_view text);
std::string to_string(const Span& span);

// A comma-separated list, where `*n` repeats: "full*8,window:256*16". Throws UsageError.
std::vector<Span> parse_spans(std::string_view text);
// The shortest list that parse_spans() reads back.
std::string to_string(const std::vector<Span>& spans);

}  // namespace masformer
