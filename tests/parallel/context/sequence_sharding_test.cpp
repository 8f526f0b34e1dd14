// Every position is on one rank, and rows and positions are inverse to each other.
#include "parallel/context/sequence_sharding.h"

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

using Chunks = std::vector<std::vector<int>>;

TEST(SequenceSharding, FindsTheRankAndRowOfEachPosition) {
  for (const SequenceSharding& sharding :
       {SequenceSharding::contiguous(24, 1), SequenceSharding::contiguous(24, 3),
        SequenceSharding::zigzag(24, 1), SequenceSharding::zigzag(24, 3),
        SequenceSharding::zigzag(24, 4),
        SequenceSharding(24, Chunks{{1, 2, 7}, {0, 3, 4}, {5, 6, 11}, {8, 9, 10}})}) {
    std::vector<int> held(static_cast<std::size_t>(sharding.ranks()));
    for (std::int64_t position = 0; position < sharding.sequence(); ++position) {
      const auto place = sharding.place(position);
      EXPECT_EQ(sharding.position(place.rank, place.row), position);
      ++held[static_cast<std::size_t>(place.rank)];
    }
    for (int rank = 0; rank < sharding.ranks(); ++rank) {
      EXPECT_EQ(held[static_cast<std::size_t>(rank)], sharding.rows());
      std::int64_t row = 0, last = -1;
      for (const Segment& segment : sharding.segments(rank)) {
        EXPECT_EQ(segment.first_row, row);
        EXPECT_GT(segment.positions.begin, last);  // adjacent chunks are one segment
        for (std::int64_t p = segment.positions.begin; p < segment.positions.end; ++p, ++row) {
          EXPECT_EQ(sharding.place(p), (SequenceSharding::Place{rank, row}));
          EXPECT_EQ(sharding.position(rank, row), p);
        }
        last = segment.positions.end;
      }
      EXPECT_EQ(row, sharding.rows());
    }
  }
}

TEST(SequenceSharding, HoldsTheChunksOfItsNames) {
  EXPECT_EQ(SequenceSharding::contiguous(12, 3).chunks(), (Chunks{{0}, {1}, {2}}));
  EXPECT_EQ(SequenceSharding::zigzag(12, 3).chunks(), (Chunks{{0, 5}, {1, 4}, {2, 3}}));
  EXPECT_EQ(SequenceSharding::zigzag(12, 3).segments(2), (std::vector<Segment>{{{4, 8}, 0}}));
  EXPECT_EQ(SequenceSharding::zigzag(12, 3).segments(0),
            (std::vector<Segment>{{{0, 2}, 0}, {{10, 12}, 2}}));
}

TEST(SequenceSharding, PrintsItsNameOrItsChunks) {
  EXPECT_EQ(SequenceSharding::contiguous(12, 3).to_string(), "contiguous");
  EXPECT_EQ(SequenceSharding::zigzag(12, 3).to_string(), "zigzag");
  EXPECT_EQ(SequenceSharding(12, Chunks{{0, 1}, {2, 3}}).to_string(), "0 1, 2 3");
}

TEST(SequenceSharding, RefusesChunksThatAreNotSharedEvenly) {
  for (const Chunks& chunks : {Chunks{}, Chunks{{}}, Chunks{{0}, {0}}, Chunks{{0, 1}, {2}},
                               Chunks{{1, 0}}, Chunks{{0}, {2}}, Chunks{{-1}}}) {
    EXPECT_THROW(SequenceSharding(12, chunks), Error);
  }
  EXPECT_THROW(SequenceSharding::contiguous(10, 3), Error);
  EXPECT_THROW(SequenceSharding::zigzag(15, 3), Error);
  EXPECT_THROW(SequenceSharding::contiguous(0, 1), Error);
}

TEST(SequenceSharding, IsReadBackFromItsText) {
  for (const SequenceSharding& sharding :
       {SequenceSharding::contiguous(24, 3), SequenceSharding::zigzag(24, 3),
        SequenceSharding(24, {{0, 3}, {1, 5}, {2, 4}}), SequenceSharding::contiguous(8, 1)}) {
    EXPECT_EQ(SequenceSharding::parse(sharding.to_string(), sharding.sequence(), sharding.ranks()),
              sharding);
  }
  for (const char* const text : {"", "spiral", "0 5, 1 4", "0 1, 1 2, 3 4", "0 x, 1 2, 3 4"}) {
    EXPECT_THROW(SequenceSharding::parse(text, 24, 3), Error) << text;
  }
  EXPECT_THROW(SequenceSharding::parse("contiguous", 25, 3), Error);
  EXPECT_THROW(SequenceSharding::parse("zigzag", 21, 3), Error);
}

}  // namespace
}  // namespace masformer
