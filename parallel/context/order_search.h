// The search for a sharding that suits layers with unlike masks.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "parallel/context/context_order.h"
#include "parallel/context/sequence_sharding.h"

namespace masformer {

// The different kinds among `layers`, and how many layers are of each.
std::vector<std::pair<ContextLayer, int>> counted(const std::vector<ContextLayer>& layers);

// Where searches start: 0 is zigzag, 1 gives each rank two neighbouring chunks, and the others give
// chunks at random, the same in every call. The more ranks, the fewer starts, since a search takes
// time as their square or more.
int search_starts(int ranks);
SequenceSharding search_start(std::int64_t sequence, int ranks, int index);

// Swaps chunks between two ranks of `start`, which holds two per rank, as long as that lowers the
// cost of the slowest stage, or keeps it and makes the ranks more even. The cost is cost_of()
// (context_order.h). A rank's work depends on its own two chunks alone, so a swap is judged by the
// two ranks that it changes and the slowest of the others.
SequenceSharding improved_by_swaps(const SequenceSharding& start,
                                   const std::vector<std::vector<ContextLayer>>& stages,
                                   double pairs_per_row);

}  // namespace masformer
