#include "runtime/rounding.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace masformer {
namespace {

TEST(Rounding, CeilDivGivesTheFewestBlocksThatCoverACount) {
  for (std::int64_t size = 1; size < 20; ++size) {
    for (std::int64_t count = 0; count < 100; ++count) {
      const std::int64_t blocks = ceil_div(count, size);
      EXPECT_GE(blocks * size, count);
      EXPECT_LT((blocks - 1) * size, count);
      EXPECT_EQ(round_up(count, size), blocks * size);
    }
  }
}

TEST(Rounding, ComputesInTheTypeOfTheCount) {
  static_assert(std::is_same_v<decltype(ceil_div(5, 2L)), int>);
  EXPECT_EQ(ceil_div(std::int64_t{1} << 40, 3), 366503875926);
}

}  // namespace
}  // namespace masformer
