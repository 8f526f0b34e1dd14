#include <algorithm>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// With one chunk, all micro-batches follow each other. With several, the last stage of a chunk
// sends to the first stage of the next, so the stages may form a ring. In evaluation a stage waits
// until its output is received; if all stages waited, none would receive. So micro-batches go
// through all chunks in groups of stages - 1: one stage is always free to receive, and all others
// are busy.
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
