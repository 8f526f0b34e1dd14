// A warp of the fake: makes its threads meet in warp intrinsics.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "tests/fake_cuda/include/fake_cuda/builtin.h"

namespace fake_cuda {

class Warp {
 public:
  struct Call {
    Meeting meeting;
    unsigned mask;
    std::uint64_t value;
    int source;
    Site site;
  };

  // A warp of a new block, whose first `threads` lanes exist.
  explicit Warp(int threads) : present_(0xffffffffu >> (warpSize - threads)) {}

  // The lane calls an intrinsic. Returns true if all lanes of its mask have now called: none of
  // them waits any longer, and each has its result. Otherwise the lane waits.
  bool arrive(int lane, const Call& call);
  // The lane's thread returns from the kernel.
  void leave(int lane);

  std::uint64_t result(int lane) const { return results_[lane]; }
  // A bit for each lane that waits.
  unsigned waiting() const { return waiting_; }
  const Call& call(int lane) const { return calls_[lane]; }

 private:
  void check(int lane, const Call& call) const;
  void complete(const Call& last);

  std::array<Call, warpSize> calls_;
  std::array<std::uint64_t, warpSize> results_;
  unsigned present_, waiting_ = 0;
};

}  // namespace fake_cuda
