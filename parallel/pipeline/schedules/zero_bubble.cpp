#include <algorithm>
#include <utility>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// 1F1B with the backward split in two. Only the input gradient is on the way to the previous stage,
// so draining the pipeline costs a backward_input per stage instead of a whole backward, and the
// weight gradients that stage s has put off fill what would be idle at the end. Stage s puts off
// `s` of them: it holds the activations of stages - s micro-batches as 1F1B does, and of s more,
// so all stages hold what the first stage of 1F1B holds.
Schedule zero_bubble(int stages, int micro_batches) {
  Schedule schedule = empty_schedule(Placement::round_robin(stages), micro_batches);
  for (int stage = 0; stage < stages; ++stage) {
    auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
    const int ahead = std::min(micro_batches, stages - stage), put_off = stage;
    for (int i = 0; i < ahead; ++i) actions.push_back({ActionKind::forward, i, 0});
    for (int i = 0; i < micro_batches; ++i) {
      actions.push_back({ActionKind::backward_input, i, 0});
      if (i >= put_off) actions.push_back({ActionKind::backward_weight, i - put_off, 0});
      if (i + ahead < micro_batches) actions.push_back({ActionKind::forward, i + ahead, 0});
    }
    for (int i = std::max(micro_batches - put_off, 0); i < micro_batches; ++i) {
      actions.push_back({ActionKind::backward_weight, i, 0});
    }
  }
  return with_fused_backwards(std::move(schedule));
}

}  // namespace masformer
