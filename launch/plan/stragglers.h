// "What if": the step of a plan if the ranks of some pipeline stages were slower than the others.
#pragma once

#include <string>
#include <vector>

#include "launch/plan/run_plan.h"
#include "model/cost/device_figures.h"
#include "model/cost/layer_times.h"

namespace masformer {

// [stage]: what its time is multiplied by, from a list such as "2:1.5,3:2"; 1 for stages that the
// list leaves out. Throws UsageError for a stage that is not one of `stages`, one that is there
// twice, for a factor that is not above 0 and at most a million, or if all factors are 1.
std::vector<double> parse_stragglers(const std::string& list, int stages);

// Seconds of a step in which everything that the ranks of a stage do by themselves takes
// `factors[stage]` times as long: passes with their exchanges between tensor and context ranks,
// copies between parts, and the optimizer. Messages between stages and sums over replicas take what
// they took. The plan stays the same. A stage is as slow as its slowest rank, since its tensor and
// context ranks wait for each other, and all replicas for the slowest at the end of the step.
double straggling_step_seconds(const RunPlan& plan, const DeviceFigures& figures,
                               const LayerTimes& times, const std::vector<double>& factors);

}  // namespace masformer
