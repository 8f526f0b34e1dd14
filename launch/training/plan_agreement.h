// Makes what a plan depends on besides the options the same on all ranks, and sees that their plans
// are.
#pragma once

#include <optional>

#include <nlohmann/json.hpp>

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "launch/plan/run_plan.h"
#include "parallel/comm/communicator.h"

namespace masformer {

// The layout in a checkpoint's attributes; none if they have none. Checkpoints of versions that did
// not record the partition were written with what parallel.partition said, where auto meant even.
// Those that did not record how full layers were shared did what parallel.context_full said. Throws
// an exception for attributes of another form.
std::optional<RecordedLayout> recorded_layout(const nlohmann::json& attributes);

// The memory of the hosts, each divided by its ranks, of which the smallest counts, and the
// layout in the checkpoint that checkpoint.resume leads to. The memory of devices is not known
// yet; there only plan.memory_gib limits a plan. Collective.
PlanInputs agree_on_plan_inputs(Communicator& world, const Options& options);

// Throws AgreedUsageError with what differs unless the plans of all ranks agree with rank 0's in
// all that a rank decides for itself: the vocabulary of its store, the partition, recomputation,
// the order of tokens and their exchange, and the orders of actions. The same options lead to
// another plan in another build, or where a processor rounds another way. Collective.
void require_same_plan(Communicator& world, const RunPlan& plan);

}  // namespace masformer
