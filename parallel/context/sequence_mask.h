// What the queries of one attention layer see of their sequence: a span, cut at the borders of
// packed documents.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/span.h"

namespace masformer {

class SequenceMask {
 public:
  // The whole sequence is one document.
  explicit SequenceMask(const Span& span) : span_(span) {}
  // `starts[sample]`: the positions at which documents start, ascending from 0. The mask is the
  // union over the samples: a query sees a key if it does so in any sample.
  SequenceMask(const Span& span, const std::vector<std::vector<std::int64_t>>& starts);

  const Span& span() const { return span_; }
  bool has_documents() const { return has_documents_; }  // whether a sample has several
  // The query at `query` sees the keys from here to itself. Never decreases with `query`.
  std::int64_t first(std::int64_t query) const;
  // The keys that at least one of `queries` sees.
  PositionRange visible_keys(PositionRange queries) const;
  // Those of `queries` that see at least one of `keys`.
  PositionRange seeing_queries(PositionRange keys, PositionRange queries) const;
  // The number of (query, key) pairs of `queries`.
  std::int64_t pairs(PositionRange queries) const;

 private:
  struct Document {
    std::int64_t begin = 0;  // the queries from here on
    std::int64_t first = 0;  // see no key before this
  };

  Span span_;
  std::vector<Document> documents_;
  bool has_documents_ = false;
};

}  // namespace masformer
