#include "parallel/context/sequence_mask.h"

#include <algorithm>

#include "runtime/error.h"

namespace masformer {
namespace {

// The last of ascending `starts` that is not after `position`.
std::int64_t start_before(const std::vector<std::int64_t>& starts, std::int64_t position) {
  return *std::prev(std::ranges::upper_bound(starts, position));
}

}  // namespace

SequenceMask::SequenceMask(const Span& span, const std::vector<std::vector<std::int64_t>>& starts)
    : span_(span) {
  std::vector<std::int64_t> all;
  for (const auto& sample : starts) {
    require(!sample.empty() && sample.front() == 0 && std::ranges::is_sorted(sample),
            "documents must start in ascending order, the first at position 0");
    all.insert(all.end(), sample.begin(), sample.end());
    has_documents_ = has_documents_ || sample.size() > 1;
  }
  std::ranges::sort(all);
  for (const std::int64_t begin : all) {
    std::int64_t first = begin;
    for (const auto& sample : starts) first = std::min(first, start_before(sample, begin));
    if (documents_.empty() || documents_.back().first != first)
      documents_.push_back({begin, first});
  }
}

std::int64_t SequenceMask::first(std::int64_t query) const {
  const std::int64_t of_span = first_visible(span_, query);
  if (documents_.empty()) return of_span;
  const auto next = std::ranges::upper_bound(documents_, query, {}, &Document::begin);
  return std::max(of_span, std::prev(next)->first);
}

PositionRange SequenceMask::visible_keys(PositionRange queries) const {
  if (queries.size() <= 0) return {queries.begin, queries.begin};
  return {first(queries.begin), queries.end};
}

PositionRange SequenceMask::seeing_queries(PositionRange keys, PositionRange queries) const {
  return masformer::seeing_queries([&](std::int64_t query) { return first(query); }, keys, queries);
}

std::int64_t SequenceMask::pairs(PositionRange queries) const {
  if (documents_.empty()) {
    return visible_pairs(span_, queries.end) - visible_pairs(span_, queries.begin);
  }
  std::int64_t count = 0;
  for (std::int64_t query = queries.begin; query < queries.end; ++query) {
    count += query - first(query) + 1;
  }
  return count;
}

}  // namespace masformer
