// Orders that CUDA leaves open are drawn, so that a program which relies on one fails for some
// seed.
#pragma once

#include <cstdint>

namespace fake_cuda {

// Starts the one sequence of draws anew. It starts with MASFORMER_CUDA_DOUBLE_SEED, or 1.
void set_seed(std::uint64_t seed);

// A number below `count`, which is at least 1.
std::uint64_t draw(std::uint64_t count);

// A drawn order of 0 ... count - 1 that needs no table.
class Order {
 public:
  explicit Order(std::uint64_t count);
  std::uint64_t operator[](std::uint64_t place) const { return (first_ + place * step_) % count_; }

 private:
  std::uint64_t count_, first_, step_;  // the step shares no factor with the count
};

}  // namespace fake_cuda
