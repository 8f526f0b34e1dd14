// Collects what a plan depends on besides the options, and makes it the same on all ranks.
#pragma once

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "parallel/comm/communicator.h"

namespace masformer {

// The memory of the hosts, each divided by its ranks, of which the smallest counts, and the
// partition in the checkpoint that checkpoint.resume leads to. The memory of devices is not known
// yet; there only plan.memory_gib limits a plan. Collective.
PlanInputs agree_on_plan_inputs(Communicator& world, const Options& options);

}  // namespace masformer
