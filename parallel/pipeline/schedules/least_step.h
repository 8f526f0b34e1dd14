// A time that no order of a step's actions can beat, whatever finds it.
#pragma once

#include <vector>

#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/simulation.h"

namespace masformer {

// A lower bound of the simulated seconds of all schedules on this placement that hold at most
// `memory_limit` on each stage. On the stage where it is largest:
//
//   the first forward has come through the parts before the stage's first one
//   + all that the stage computes
//   + the last gradient goes back through these parts, and the first part's weight gradient follows
//   - the weight gradients of its own that the stage can still compute meanwhile: only those whose
//     memory it can hold until then
//
// `memory`: [part], or empty for one unit each. `memory_limit`: [stage].
double least_step_seconds(const Placement& placement, int micro_batches, const PipelineCosts& costs,
                          const std::vector<PartMemory>& memory,
                          const std::vector<double>& memory_limit);

}  // namespace masformer
