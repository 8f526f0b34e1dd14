// Chooses how the context ranks divide a sequence and its attention, where the options leave that
// open: parallel.context_order=auto and parallel.context_full=auto.
#pragma once

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "launch/plan/run_plan.h"

namespace masformer {

// Which tokens the context ranks hold, for the partition of `plan`. A resume under the same layout
// keeps what was chosen before.
SequenceSharding choose_sharding(const Options& options, const RunPlan& plan,
                                 const PlanInputs& inputs);

// Sets how the context ranks share full layers, and the sharding for it, in a plan of training
// whose other members are set, but not its forecast. Takes the way with the shortest step by the
// cost model, of those that are possible and within the memory, and the ring if all take as long.
// Measured times don't count here, since they are of one way. A resume under the same layout keeps
// what was chosen before.
void choose_exchange(const Options& options, const PlanInputs& inputs, RunPlan& plan);

// Which of the two a plan has as the checkpoint to resume from records them, and not because an
// option says so.
KeptContext kept_context(const Options& options, const PlanInputs& inputs, const RunPlan& plan);

}  // namespace masformer
