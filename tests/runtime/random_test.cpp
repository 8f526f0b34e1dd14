#include "runtime/random.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

TEST(Permute, IsABijectionForEverySizeAndKey) {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    for (const std::uint64_t key : {0ULL, 1ULL, 0x9e3779b97f4a7c15ULL}) {
      std::vector<bool> hit(size);
      for (std::uint64_t i = 0; i < size; ++i) {
        const std::uint64_t place = permute(i, size, key);
        ASSERT_LT(place, size);
        ASSERT_FALSE(hit[place]) << "size " << size << ", key " << key;
        hit[place] = true;
      }
    }
  }
}

TEST(Permute, IsABijectionForLargeSizes) {
  for (const std::uint64_t size : {65535ULL, 65536ULL, 65537ULL, 1000003ULL}) {
    std::vector<bool> hit(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t place = permute(i, size, 42);
      ASSERT_LT(place, size);
      ASSERT_FALSE(hit[place]);
      hit[place] = true;
    }
  }
  for (const std::uint64_t size : {(1ULL << 40) + 1, 1ULL << 63, ~0ULL}) {
    std::set<std::uint64_t> places;
    for (std::uint64_t i = 0; i < 1000; ++i) places.insert(permute(i * (size / 1000), size, 1));
    EXPECT_EQ(places.size(), 1000u);
    EXPECT_LT(*places.rbegin(), size);
  }
  EXPECT_THROW(permute(5, 5, 0), Error);
}

// Over many keys, each element goes to each place about equally often.
TEST(Permute, SpreadsElementsEvenly) {
  constexpr std::uint64_t size = 10, mean = 2000;
  for (std::uint64_t i = 0; i < size; ++i) {
    std::vector<int> count(size);
    for (std::uint64_t key = 0; key < mean * size; ++key) ++count[permute(i, size, key)];
    for (const int n : count) EXPECT_NEAR(n, mean, 0.1 * mean) << "element " << i;
  }
}

TEST(Normal, HasMeanZeroAndVarianceOne) {
  constexpr int count = 200000;
  double mean = 0, square = 0, fourth = 0, neighbours = 0, before = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double x = normal(mix(1, "weights"), i);
    mean += x / count;
    square += x * x / count;
    fourth += x * x * x * x / count;
    neighbours += x * before / count;
    before = x;
  }
  EXPECT_NEAR(mean, 0, 0.01);
  EXPECT_NEAR(square, 1, 0.015);
  EXPECT_NEAR(fourth, 3, 0.1);
  EXPECT_NEAR(neighbours, 0, 0.01);
  EXPECT_EQ(normal(7, 9), normal(7, 9));
}

TEST(Mix, DependsOnEachArgumentAndTheirOrder) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t a = 0; a < 100; ++a) {
    for (std::uint64_t b = 0; b < 100; ++b) seen.insert(mix(a, b));
  }
  EXPECT_EQ(seen.size(), 10000u);
  EXPECT_NE(mix(1, "ab"), mix(1, "ba"));
  EXPECT_NE(mix(1, "a"), mix(1, std::string_view("a\0", 2)));
  EXPECT_NE(mix(1, ""), mix(2, ""));
}

}  // namespace
}  // namespace masformer
