// train.profile_step: times the calls of one step on one rank of each pipeline stage, and prints
// where the time went.
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

  // Around what a step issues; they do nothing in another step than the profiled one.
  void begin(std::int64_t step);
  void end();
  // Prints the profiled step's tables, those of all stages in their order, once it is complete; at
  // another step it does nothing. Collective.
  void report(std::int64_t step);

 private:
  Job& job_;
  RunOutput& output_;
  std::int64_t profiled_step_;
  std::optional<OpTimer> timer_;  // of the first rank of each stage
};

}  // namespace masformer
