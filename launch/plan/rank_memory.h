// The memory that the ranks of a plan need.
#pragma once

#include "launch/plan/run_plan.h"

namespace masformer {

// Of the rank of a pipeline stage that needs most.
MemoryTable largest_memory(const RunPlan& plan, int pipe, Purpose purpose);

}  // namespace masformer
