// The pipeline of a real step, from the recordings of the ranks of one pipeline, beside the
// predicted one.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "launch/plan/timeline.h"
#include "launch/report/run_files.h"
#include "parallel/recorder.h"

namespace masformer {

struct MeasuredStep {
  std::int64_t step = 0;
  int of = 0;  // how many steps are recorded as a whole
  int stages = 1;
  std::vector<TimelineBar> bars;  // times since the step's first action began
  double seconds() const;         // until the last action has ended
};

// When the first record of any rank begins, in nanoseconds since 1970 by the system's clock.
// Without records: the largest number.
std::int64_t first_time(const std::vector<Recording>& recordings);

// The step that takes the median time of those whose actions are all in the recordings of the ranks
// with data, context and tensor coordinate 0; on devices, with the devices' times. Returns
// nothing if no step is whole, or if a stage's recording is missing. `plan`: plan.json, which says
// how many actions a step has on each stage. If it doesn't, a step counts as whole if it has as
// many as any other, and no record of it can have been replaced. Ranks of several hosts are on the
// clock that their run has aligned them to.
std::optional<MeasuredStep> median_step(const std::vector<Recording>& recordings,
                                        const nlohmann::json& plan = nullptr);

// The predicted step (plan.json), and the measured one; each begins with its first action and is
// left out if it is unknown. Titles name the run if there are several.
std::vector<Timeline> timelines_of(const std::vector<RunFiles>& runs);

}  // namespace masformer
