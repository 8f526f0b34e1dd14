#include <algorithm>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// In evaluation a stage waits until its output is taken. When stage 0 has sent a group of
// micro-batches through its first chunk, one stage must be free to take the next: groups of stages
// - 1 keep all stages busy but one, and never block each other in a ring.
Schedule forward_only(const Placement& placement, int micro_batches) {
  Schedule schedule = empty_schedule(placement, micro_batches);
  const int group = placement.chunks() == 1 ? micro_batches : std::max(placement.stages() - 1, 1);
  for (auto& actions : schedule.actions) {
    for (int begin = 0; begin < micro_batches; begin += group) {
      const int end = std::min(begin + group, micro_batches);
      for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
        for (int i = begin; i < end; ++i) actions.push_back({ActionKind::forward, i, chunk});
      }
    }
  }
  return schedule;
}

}  // namespace masformer
