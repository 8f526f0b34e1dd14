// Random numbers. Where CUDA leaves an order open, the fake draws one, so that a program that
// relies on an order fails for some seed.
#pragma once

#include <cstdint>

namespace fake_cuda {

// Restarts the sequence with `seed`. The first seed is MASFORMER_FAKE_CUDA_SEED, or 1.
void set_seed(std::uint64_t seed);

// A number below `count`, which is at least 1.
std::uint64_t draw(std::uint64_t count);

// A random order of 0 ... count - 1 that needs no table.
class Order {
 public:
  explicit Order(std::uint64_t count);
  std::uint64_t operator[](std::uint64_t place) const { return (first_ + place * step_) % count_; }

 private:
  std::uint64_t count_, first_, step_;  // the step shares no factor with the count
};

}  // namespace fake_cuda
