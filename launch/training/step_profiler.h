// train.profile_step: times the calls of one step on one rank of each pipeline stage, prints where
// the time went, and writes it to RUN_DIR/profile.json.
#pragma once

#include <cstdint>
#include <optional>

#include "launch/training/job.h"
#include "launch/training/run_output.h"
#include "runtime/op_timer.h"

namespace masformer {

class StepProfiler {
 public:
  // `profiled_step`: 0 for none. `job` and `output` outlive the profiler.
  StepProfiler(Job& job, RunOutput& output, std::int64_t profiled_step)
      : job_(job), output_(output), profiled_step_(profiled_step) {}

  // Call begin() before and end() after a step issues its work. They do nothing in other steps.
  void begin(std::int64_t step);
  void end();
  // Prints the tables of all stages, in the order of stages, and writes them, if `step` is the
  // profiled one. Call it when the step is complete. Warns if the file can't be written.
  // Collective.
  void report(std::int64_t step);

 private:
  nlohmann::json profile_of_stage() const;

  Job& job_;
  RunOutput& output_;
  std::int64_t profiled_step_;
  std::optional<OpTimer> timer_;  // only on the first rank of each stage
};

}  // namespace masformer
