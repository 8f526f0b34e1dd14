// Counts the visible (query, key) pairs of documents that are packed into one sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/span.h"

namespace masformer {

class VisiblePairs {
 public:
  VisiblePairs(const Span& span, std::int64_t sequence);

  // The pairs within a document at these positions of the sequence. Takes logarithmic time.
  std::int64_t of_document(PositionRange document) const;
  // `starts`: where the documents of the sequence start, ascending from 0.
  std::int64_t of_documents(const std::vector<std::int64_t>& starts) const;

 private:
  Span span_;
  std::vector<std::int64_t> before_;  // [sequence + 1]: pairs of the queries before each position
};

}  // namespace masformer
