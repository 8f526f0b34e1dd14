#include "parallel/sharding.h"

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

bool contains(const Hyperslab& slab, std::int64_t row, std::int64_t column) {
  return row >= slab.offset[0] && row < slab.offset[0] + slab.shape[0] &&
         column >= slab.offset[1] && column < slab.offset[1] + slab.shape[1];
}

// All boxes in a 4 x 4 tensor, including empty ones.
std::vector<Hyperslab> all_boxes() {
  std::vector<Hyperslab> boxes;
  for (std::int64_t r = 0; r < 4; ++r) {
    for (std::int64_t c = 0; c < 4; ++c) {
      for (std::int64_t h = 0; r + h <= 4; ++h) {
        for (std::int64_t w = 0; c + w <= 4; ++w) boxes.push_back({{r, c}, {h, w}});
      }
    }
  }
  return boxes;
}

TEST(Hyperslab, IntersectionHoldsExactlyTheSharedElements) {
  const std::vector<Hyperslab> boxes = all_boxes();
  for (const Hyperslab& a : boxes) {
    for (const Hyperslab& b : boxes) {
      const std::optional<Hyperslab> shared = intersect(a, b);
      std::int64_t count = 0;
      for (std::int64_t r = 0; r < 4; ++r) {
        for (std::int64_t c = 0; c < 4; ++c) {
          const bool both = contains(a, r, c) && contains(b, r, c);
          count += both;
          ASSERT_EQ(both, shared && contains(*shared, r, c));
        }
      }
      ASSERT_EQ(shared.has_value(), count > 0);
      if (shared) {
        ASSERT_EQ(shared->elements(), count);
      }
      ASSERT_EQ(shared, intersect(b, a));
    }
  }
}

TEST(Hyperslab, CoversWholeTensorsAndScalars) {
  EXPECT_EQ(whole({3, 5}), (Hyperslab{{0, 0}, {3, 5}}));
  EXPECT_EQ(whole({3, 5}).elements(), 15);
  EXPECT_EQ(whole({}).elements(), 1);
  EXPECT_EQ(intersect(whole({}), whole({})), whole({}));
  EXPECT_THROW(intersect(whole({2}), whole({2, 2})), Error);
}

TEST(EqualShards, CoverTheExtentWithoutGaps) {
  for (int shards = 1; shards <= 8; ++shards) {
    for (std::int64_t extent = 0; extent <= 64; ++extent) {
      if (extent % shards != 0) {
        ASSERT_THROW(equal_shard_range(extent, shards, 0), Error);
        continue;
      }
      std::int64_t end = 0;
      for (int i = 0; i < shards; ++i) {
        const ShardRange part = equal_shard_range(extent, shards, i);
        ASSERT_EQ(part.begin, end);
        ASSERT_EQ(part.count * shards, extent);
        end += part.count;
      }
      ASSERT_EQ(end, extent);
    }
    EXPECT_THROW(equal_shard_range(64, shards, shards), Error);
    EXPECT_THROW(equal_shard_range(64, shards, -1), Error);
  }
}

TEST(Shards, CoverAnyExtentAndDifferByAtMostOne) {
  for (int shards = 1; shards <= 9; ++shards) {
    for (const std::int64_t extent : {0L, 1L, 7L, 8L, 64L, 1L << 61}) {
      std::int64_t end = 0;
      for (int i = 0; i < shards; ++i) {
        const ShardRange part = shard_range(extent, shards, i);
        ASSERT_EQ(part.begin, end);
        ASSERT_GE(part.count, extent / shards);
        ASSERT_LE(part.count, (extent + shards - 1) / shards);
        end += part.count;
      }
      ASSERT_EQ(end, extent);
    }
    EXPECT_THROW(shard_range(64, shards, shards), Error);
    EXPECT_THROW(shard_range(-1, shards, 0), Error);
  }
}

}  // namespace
}  // namespace masformer
