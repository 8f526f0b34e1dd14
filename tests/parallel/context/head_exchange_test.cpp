// The exchange by heads: every row of the sequence comes from the rank that holds it, in the order
// of positions, and every share of the heads is computed once.
#include "parallel/context/head_exchange.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include <gtest/gtest.h>

#include "parallel/context/order_search.h"

namespace masformer {
namespace {

std::vector<SequenceSharding> shardings() {
  std::vector<SequenceSharding> all;
  for (const int ranks : {1, 2, 3, 4, 8}) {
    all.push_back(SequenceSharding::contiguous(48, ranks));
    for (int start = 0; start < search_starts(ranks); ++start) {
      all.push_back(search_start(48, ranks, start));
    }
  }
  return all;
}

TEST(HeadExchange, HoldsEveryRowOnceInTheOrderOfPositions) {
  for (const SequenceSharding& sharding : shardings()) {
    SCOPED_TRACE(sharding.to_string());
    std::int64_t position = 0;
    for (const HeldSegment& segment : plan_head_exchange(sharding).segments) {
      EXPECT_EQ(segment.positions.begin, position);
      EXPECT_EQ(segment.first_row, position);
      EXPECT_EQ(segment.rows.size(), segment.positions.size());
      for (std::int64_t row = segment.rows.begin; row < segment.rows.end; ++row) {
        EXPECT_EQ(sharding.position(segment.rank, row), position++);
      }
    }
    EXPECT_EQ(position, sharding.sequence());
  }
}

TEST(HeadExchange, GivesEachRankAnotherShareOfTheHeads) {
  for (const SequenceSharding& sharding : shardings()) {
    std::vector<int> shares = plan_head_exchange(sharding).shares, all(shares.size());
    std::iota(all.begin(), all.end(), 0);
    std::ranges::sort(shares);
    EXPECT_EQ(std::ssize(shares), sharding.ranks());
    EXPECT_EQ(shares, all);
  }
}

TEST(HeadExchange, IsForFullLayersOnSeveralRanks) {
  using enum ContextFull;
  const Span full, window{SpanKind::window, 4};
  EXPECT_TRUE(is_by_heads(heads, full, 2));
  EXPECT_FALSE(is_by_heads(heads, full, 1));
  EXPECT_FALSE(is_by_heads(heads, window, 2));
  EXPECT_FALSE(is_by_heads(ring, full, 2));
}

}  // namespace
}  // namespace masformer
