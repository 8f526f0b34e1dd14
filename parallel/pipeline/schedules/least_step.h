// A lower bound of a step's time over all orders of its actions.
#pragma once

#include <vector>

#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/simulation.h"

namespace masformer {

// No training schedule on this placement that holds at most `memory_limit` on each stage takes less
// simulated time. On the stage where it is longest:
//
//   the first forward comes through the parts before the stage's first one
//   + the stage computes all that it has to
//   + the last gradient goes back through those parts, and the first part's weight gradient follows
//   - the weight gradients of its own that the stage can still compute meanwhile: only those whose
//     memory it can hold until then
//
// Requires that no cost is negative. `memory`: [part], or empty for one unit each. `memory_limit`:
// [stage]. Throws Error unless there is a cost of each part and a limit for each stage.
double least_step_seconds(const Placement& placement, int micro_batches, const PipelineCosts& costs,
                          const std::vector<PartMemory>& memory,
                          const std::vector<double>& memory_limit);

}  // namespace masformer
