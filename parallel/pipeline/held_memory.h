// How much memory a schedule holds for activations, in numbers that are cheap to compute for many
// schedules. The exact plan, with the place of every buffer, is model/memory/.
#pragma once

#include <vector>

#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedule.h"

namespace masformer {

// What one micro-batch holds in a part, in any unit: from its forward to its backward_input, and
// from there to its backward_weight, which needs inputs and output gradients of the part's
// products. A fused backward frees all at once.
struct PartMemory {
  double until_input = 1, until_weight = 1;
};

// The most micro-batches that a part holds at once between forward and backward_input, and between
// forward and backward_weight.
struct HeldMicroBatches {
  int until_input = 0, until_weight = 0;

  bool operator==(const HeldMicroBatches&) const = default;
};

std::vector<HeldMicroBatches> held_micro_batches(const Schedule& schedule);  // [part]

// Throws Error unless the memory of each part is given, or of none, and a limit for each stage.
void check_memory_sizes(const Placement& placement, const std::vector<PartMemory>& parts,
                        const std::vector<double>& limits);

// Whether this much memory is within the limit, apart from rounding of sums.
inline bool fits_memory(double held, double limit) {
  return !clearly_less(limit, held);
}

// The most that each stage holds at once. `parts`: [part], or empty for one unit each.
std::vector<double> peak_memory(const Schedule& schedule, const std::vector<PartMemory>& parts);

}  // namespace masformer
