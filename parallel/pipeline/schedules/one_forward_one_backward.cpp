#include <algorithm>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

Schedule one_forward_one_backward(int stages, int micro_batches) {
  Schedule schedule = empty_schedule(Placement::round_robin(stages), micro_batches);
  for (int stage = 0; stage < stages; ++stage) {
    auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
    const int ahead = std::min(micro_batches, stages - stage);
    for (int i = 0; i < ahead; ++i) actions.push_back({ActionKind::forward, i, 0});
    for (int i = 0; i < micro_batches; ++i) {
      actions.push_back({ActionKind::backward, i, 0});
      if (i + ahead < micro_batches) actions.push_back({ActionKind::forward, i + ahead, 0});
    }
  }
  return schedule;
}

}  // namespace masformer
