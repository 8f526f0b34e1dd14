#include "runtime/arena.h"

#include <algorithm>
#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/offset_allocator.h"
#include "runtime/random.h"

namespace masformer {
namespace {

TEST(Arena, HandsOutAlignedDisjointZeroedTensors) {
  Arena arena(Device::cpu, 1000);
  EXPECT_EQ(arena.capacity(), 1024);
  const Tensor a = arena.take({3, 5}, DType::f32), b = arena.take({0}, DType::f64);
  const Tensor c = arena.take({17}, DType::i32);
  EXPECT_EQ(static_cast<char*>(c.raw()) - static_cast<char*>(a.raw()), 64);
  EXPECT_EQ(b.elements(), 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.raw()) % Arena::alignment, 0u);
  EXPECT_EQ(arena.used(), 64 + 128);
  for (std::int64_t i = 0; i < c.elements(); ++i) EXPECT_EQ(c.data<std::int32_t>()[i], 0);
  EXPECT_EQ(arena.at(64, {17}, DType::i32).raw(), c.raw());
}

TEST(Arena, RefusesTensorsThatDoNotFit) {
  Arena arena(Device::cpu, 256);
  EXPECT_THROW(arena.take({65}, DType::f32), Error);
  EXPECT_EQ(arena.used(), 0) << "a refused tensor took something";
  EXPECT_NO_THROW(arena.take({64}, DType::f32));
  EXPECT_THROW(arena.take({1}, DType::f32), Error);
  EXPECT_THROW(static_cast<void>(arena.at(32, {1}, DType::f32)), Error);
  EXPECT_THROW(static_cast<void>(arena.at(-64, {1}, DType::f32)), Error);
  EXPECT_THROW(static_cast<void>(arena.at(256, {1}, DType::f32)), Error);
  EXPECT_THROW(Arena(Device::cuda, 64), Error);
}

TEST(Arena, IsEmptyAfterAMove) {
  Arena first(Device::cpu, 128);
  const Tensor a = first.take({4}, DType::f32);
  a.data<float>()[0] = 7;
  Arena second(std::move(first));
  Arena third(Device::cpu, 64);
  third = std::move(second);
  EXPECT_EQ(third.capacity(), 128);
  EXPECT_EQ(third.used(), 64);
  EXPECT_EQ(a.data<float>()[0], 7);
  EXPECT_EQ(first.capacity(), 0);   // NOLINT: moved-from is empty
  EXPECT_EQ(second.capacity(), 0);  // NOLINT
  EXPECT_EQ(second.used(), 0);      // NOLINT
}

// Compares with a map of allocated ranges: no overlap, the lowest gap that fits, the peak is the
// highest end.
TEST(OffsetAllocator, PlacesFirstFitWithoutOverlap) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    OffsetAllocator allocator;
    std::map<std::int64_t, std::int64_t> taken;  // begin: end
    std::int64_t peak = 0;
    for (std::uint64_t i = 0; i < 400; ++i) {
      const std::uint64_t dice = mix(seed, i);
      if (dice % 5 < 2 && !taken.empty()) {
        const auto victim =
            std::next(taken.begin(), static_cast<std::int64_t>(dice / 5 % taken.size()));
        allocator.release(victim->first);
        taken.erase(victim);
        continue;
      }
      const std::int64_t bytes = static_cast<std::int64_t>(dice >> 32) % 1000;
      const std::int64_t size = std::max<std::int64_t>((bytes + 63) / 64 * 64, 64);
      const auto fits = [&](std::int64_t begin) {
        return std::ranges::none_of(taken, [&](const auto& other) {
          return other.first < begin + size && begin < other.second;
        });
      };
      std::int64_t lowest = 0;
      while (!fits(lowest)) lowest += 64;
      EXPECT_EQ(allocator.allocate(bytes), lowest) << "seed " << seed << ", buffer " << i;
      taken[lowest] = lowest + size;
      peak = std::max(peak, lowest + size);
      EXPECT_EQ(allocator.peak(), peak);
    }
  }
}

TEST(OffsetAllocator, RefusesOffsetsThatNameNoBuffer) {
  OffsetAllocator allocator;
  EXPECT_EQ(allocator.peak(), 0);
  const std::int64_t a = allocator.allocate(100);
  EXPECT_THROW(allocator.release(a + 64), Error);
  allocator.release(a);
  EXPECT_THROW(allocator.release(a), Error);
  EXPECT_EQ(allocator.peak(), 128);
}

}  // namespace
}  // namespace masformer
