#include "runtime/random.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "runtime/error.h"

namespace masformer {
namespace {

std::uint64_t finalise(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

double uniform(std::uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
}

}  // namespace

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return finalise(finalise(a + 0x9e3779b97f4a7c15ULL) ^ (b + 0xd1b54a32d192ed03ULL));
}

std::uint64_t mix(std::uint64_t a, std::string_view text) {
  std::uint64_t state = mix(a, text.size());
  for (const char c : text) state = mix(state, static_cast<unsigned char>(c));
  return state;
}

double normal(std::uint64_t stream, std::uint64_t index) {
  const double radius = std::sqrt(-2.0 * std::log(uniform(mix(stream, 2 * index))));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(mix(stream, 2 * index + 1)));
}

std::uint64_t permute(std::uint64_t index, std::uint64_t size, std::uint64_t key) {
  require(index < size, "index {} is outside a permutation of {}", index, size);
  constexpr int rounds = 6;
  const int half = (static_cast<int>(std::bit_width(size - 1)) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  std::uint64_t value = index;
  do {
    std::uint64_t left = value >> half;
    std::uint64_t right = value & mask;
    for (int round = 0; round < rounds; ++round) {
      const std::uint64_t next =
          left ^ (mix(mix(key, static_cast<std::uint64_t>(round)), right) & mask);
      left = right;
      right = next;
    }
    value = (left << half) | right;
  } while (value >= size);
  return value;
}

}  // namespace masformer
