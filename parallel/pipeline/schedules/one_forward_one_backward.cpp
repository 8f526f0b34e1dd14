#include <algorithm>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// Each stage starts with just enough forwards to be busy until its first gradient arrives. From
// then on every backward frees the memory that the next forward needs. So stage s holds the
// activations of at most stages - s micro-batches, while GPipe holds those of all. The idle time is
// the same as GPipe's: filling and draining the pipeline costs stages - 1 forwards and backwards.
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
