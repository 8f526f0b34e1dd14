#include "tests/fake_cuda/random.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>

namespace fake_cuda {
namespace {

std::mt19937_64& sequence() {
  static std::mt19937_64 numbers = [] {
    const char* seed = std::getenv("MASFORMER_FAKE_CUDA_SEED");
    return std::mt19937_64(seed ? std::strtoull(seed, nullptr, 10) : 1);
  }();
  return numbers;
}

}  // namespace

void set_seed(std::uint64_t seed) {
  sequence().seed(seed);
}

std::uint64_t draw(std::uint64_t count) {
  return count == 1 ? 0 : sequence()() % count;
}

Order::Order(std::uint64_t count) : count_(count), first_(draw(count)) {
  constexpr std::uint64_t largest_step = 1 << 16;  // keeps the product of step and place in 64 bits
  do {
    step_ = 1 + draw(std::min(count, largest_step));
  } while (std::gcd(step_, count) != 1);
}

}  // namespace fake_cuda
