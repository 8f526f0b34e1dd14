#include <optional>
#include <utility>

#include "parallel/pipeline/schedules/list_scheduler.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {

// The published order sends an output before gradients that its receiver wants first, so it needs
// links with several channels. Instead, the list scheduler looks for an order in the same memory.
// It has no rule that is best for all sizes, so the best of eight orders is taken: with weight
// gradients a little shorter than the other passes, ties are decided otherwise.
Schedule zero_bubble_v(int stages, int micro_batches) {
  const Placement placement = Placement::v_shape(stages);
  const auto parts = static_cast<std::size_t>(placement.parts());
  PipelineCosts equal;
  equal.parts.assign(parts, {.forward = 1, .backward_input = 1, .backward_weight = 1});
  const double bound = slowest_stage_seconds(placement, micro_batches, equal) + stages - 1;
  std::optional<Schedule> best;
  double seconds = 0;
  for (const double weight : {1.0, 0.9}) {
    ListRules rules;
    rules.costs.parts.assign(parts, {.forward = 1, .backward_input = 1, .backward_weight = weight});
    rules.memory_limit.assign(static_cast<std::size_t>(stages), 2 * stages);
    for (const auto forward : {ListPreferences::Forward::last, ListPreferences::Forward::in_turn}) {
      for (const bool early_parts_first : {false, true}) {
        if (best && seconds <= bound) return *best;
        rules.preferences.forward = forward;
        rules.preferences.early_parts_first = early_parts_first;
        std::optional<Schedule> found = list_schedule(placement, micro_batches, rules);
        if (!found) continue;
        const double its_seconds = simulate(*found, equal).seconds;
        if (best && its_seconds >= seconds) continue;
        best = std::move(found);
        seconds = its_seconds;
      }
    }
  }
  return best.value();
}

}  // namespace masformer
