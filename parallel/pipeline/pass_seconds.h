// What the parts of a model (placement.h) cost one rank, as numbers: what the balancer and the
// simulator are given. Nothing here knows a layer or a device.
#pragma once

#include <cstddef>
#include <vector>

namespace masformer {

// Seconds that one micro-batch takes. The fused backward takes as long as its two halves. Work that
// a layer does in another pass counts there: the head computes its weights' gradient in its
// backward_input, and recomputation is part of backward_input.
struct PassSeconds {
  double forward = 0, backward_input = 0, backward_weight = 0;

  double backward() const { return backward_input + backward_weight; }
  double total() const { return forward + backward(); }

  PassSeconds& operator+=(const PassSeconds& other) {
    forward += other.forward;
    backward_input += other.backward_input;
    backward_weight += other.backward_weight;
    return *this;
  }
  bool operator==(const PassSeconds&) const = default;
};

// What the seconds of a stage are multiplied by. `slowdown`: [stage]; empty: 1 for all.
inline double slowdown_of(const std::vector<double>& slowdown, int stage) {
  return slowdown.empty() ? 1 : slowdown[static_cast<std::size_t>(stage)];
}

}  // namespace masformer
