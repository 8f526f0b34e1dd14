// Whether each host and device has the memory that its ranks are going to take.
#pragma once

#include "launch/plan/run_plan.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

// Compares what all ranks plan to take, and an estimate of what their libraries take, with what
// is available on each host and device now. Throws AgreedUsageError on all ranks, with the plan's
// memory table, where one of them has too little. Collective; call it before memory is taken.
void check_memory(const RunPlan& run, const Stream& stream, const ProcessGroups& groups,
                  const StageSpec& stage, const StagePlan& plan);

}  // namespace masformer
