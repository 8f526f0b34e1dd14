#include "launch/training/step_profiler.h"

#include <string>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/training/step_profile.h"

namespace masformer {

void StepProfiler::begin(std::int64_t step) {
  const Coordinate& at = job_.groups.at;
  if (step != profiled_step_ || at.data > 0 || at.context > 0 || at.tensor > 0) return;
  timer_.emplace(job_.stream);
}

void StepProfiler::end() {
  if (timer_ && job_.stream.timer() == &*timer_) timer_->finish();
}

void StepProfiler::report(std::int64_t step) {
  if (step != profiled_step_) return;
  std::string table;
  if (timer_) {
    const StepProfile profile = make_profile(timer_->calls(), timer_->seconds());
    const int stage = job_.groups.at.pipe;
    table = fmt::format("profile of step {}: stage {} ({}), rank {}\n{}", step, stage,
                        layers_of(job_.plan, stage), job_.world().rank(),
                        to_string(profile, job_.rank_peak_flops));
    timer_.reset();
  }
  // The pipe axis is the outermost, so the order of ranks is the order of stages.
  for (const std::string& text : job_.world().all_gather(table)) {
    if (!text.empty()) output_.log(text);
  }
}

}  // namespace masformer
