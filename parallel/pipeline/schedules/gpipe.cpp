#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// The simplest schedule, and the one that needs the most memory: when the last forward ends, each
// stage holds the activations of all micro-batches. Its idle time is that of 1F1B.
Schedule gpipe(int stages, int micro_batches) {
  Schedule schedule = forward_only(Placement::round_robin(stages), micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::backward, i, 0});
  }
  return schedule;
}

}  // namespace masformer
