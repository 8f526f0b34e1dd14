#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// The simplest schedule, and the one that takes the most memory: each stage holds the activations
// of all micro-batches when the last forward ends. It is idle as long as 1F1B is.
Schedule gpipe(int stages, int micro_batches) {
  Schedule schedule = forward_only(Placement::round_robin(stages), micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::backward, i, 0});
  }
  return schedule;
}

}  // namespace masformer
