// What the parts of a model cost, for the schedule `auto`: relative to each other, from what the
// layers report.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/pass_seconds.h"

namespace masformer {

// [part]: seconds of one sequence at 1 TFLOP/s. A product takes as many operations for the gradient
// of its input and of its weight as in the forward; attention takes twice as many for its input.
// The head computes logits, loss and both gradients in its backward_input. Recomputation is not
// counted.
std::vector<PassSeconds> part_seconds(const ModelConfig& config, const Partition& partition,
                                      std::int64_t sequence);

// [part]: one unit per block. From its backward_input to its backward_weight, a block keeps about
// as much as until then, or up to a quarter more: inputs and output gradients of its products.
std::vector<PartMemory> part_memory(const Partition& partition);

}  // namespace masformer
