#include "parallel/context/head_exchange.h"

#include <algorithm>

namespace masformer {

HeadExchange plan_head_exchange(const SequenceSharding& sharding) {
  HeadExchange plan;
  for (int rank = 0; rank < sharding.ranks(); ++rank) {
    plan.shares.push_back(rank);
    for (const Segment& segment : sharding.segments(rank)) {
      plan.segments.push_back({.rank = rank,
                               .rows = segment.rows_of(segment.positions),
                               .positions = segment.positions,
                               .first_row = segment.positions.begin});
    }
  }
  std::ranges::sort(plan.segments, {},
                    [](const HeldSegment& segment) { return segment.positions.begin; });
  return plan;
}

}  // namespace masformer
