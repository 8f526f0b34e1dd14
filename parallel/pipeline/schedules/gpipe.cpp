#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

Schedule gpipe(int stages, int micro_batches) {
  Schedule schedule = forward_only(Placement::round_robin(stages), micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::backward, i, 0});
  }
  return schedule;
}

}  // namespace masformer
