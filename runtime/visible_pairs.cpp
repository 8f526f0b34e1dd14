#include "runtime/visible_pairs.h"

#include <iterator>

namespace masformer {

VisiblePairs::VisiblePairs(const Span& span, std::int64_t sequence)
    : span_(span), before_(static_cast<std::size_t>(sequence) + 1) {
  for (std::int64_t query = 0; query < sequence; ++query) {
    const auto at = static_cast<std::size_t>(query);
    before_[at + 1] = before_[at] + query - first_visible(span, query) + 1;
  }
}

std::int64_t VisiblePairs::of_document(PositionRange document) const {
  // The first queries see all of the document before them; those from `low` on see what the span
  // shows.
  std::int64_t low = document.begin, high = document.end;
  while (low < high) {  // first_visible() never decreases
    const std::int64_t middle = low + (high - low) / 2;
    if (first_visible(span_, middle) <= document.begin) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const std::int64_t cut = low - document.begin;
  return cut * (cut + 1) / 2 + before_[static_cast<std::size_t>(document.end)] -
         before_[static_cast<std::size_t>(low)];
}

std::int64_t VisiblePairs::of_documents(const std::vector<std::int64_t>& starts) const {
  std::int64_t pairs = 0;
  for (auto start = starts.begin(); start != starts.end(); ++start) {
    const auto next = std::next(start);
    const std::int64_t end = next == starts.end() ? std::ssize(before_) - 1 : *next;
    pairs += of_document({*start, end});
  }
  return pairs;
}

}  // namespace masformer
