// Searches for a faster order of a schedule's actions by moving single actions on a stage.
#pragma once

#include <vector>

#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/simulation.h"

namespace masformer {

struct OrderSearch {
  PipelineCosts costs;
  std::vector<PartMemory> memory;    // [part]; empty: one unit each
  std::vector<double> memory_limit;  // [stage]
  int trials = 0;                    // moves to simulate
};

// Returns the schedule, or a faster valid one within the memory. Moves are drawn at random from a
// fixed seed, so the result is always the same. Moves that change no time are kept, too, since
// others may build on them. Each part's actions of a kind keep their order.
Schedule search_order(const Schedule& schedule, const OrderSearch& search);

}  // namespace masformer
