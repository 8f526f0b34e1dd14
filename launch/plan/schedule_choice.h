// Makes the schedule of a plan of training. `parallel.schedule auto` orders the actions by the
// costs of the plan's parts, so it takes two steps: the partition depends on the placement, and the
// order on the partition.
#pragma once

#include <string>
#include <vector>

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "launch/plan/run_plan.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/partition.h"

namespace masformer {

// The names of the fixed schedules that a plan is made for: the option's own. `auto` searches for
// an order when the partition is known, so a plan is made for each of a few schedules first, and
// the best plan is kept.
std::vector<std::string> base_schedules(const Options& options);

// The schedule of the first of these names.
Schedule first_schedule(const Options& options, int stages, int micro_batches);

// The whole step of a plan, by the times of `inputs`.
double simulated_step(const PlanInputs& inputs, const RunPlan& plan);

// Gives a plan with `auto` the order that the checkpoint to resume from records, if the layout, the
// partition and the micro-batches are the same, and plan.memory_gib does not forbid it. Otherwise
// the fastest order that the search finds for the partition, by the times of `inputs`. The plan
// keeps its first schedule if that is as fast, or if the other needs more memory than `memory` on
// some rank, or another placement than the partition was solved for.
void order_by_costs(const Options& options, const PlanInputs& inputs, std::int64_t memory,
                    RunPlan& plan);

// [stage] The actions of a plan with `auto`, for a checkpoint to record; empty for other plans.
std::vector<std::string> recorded_order(const RunPlan& plan);

// [part]: one unit per block. From its backward_input to its backward_weight, a block keeps about
// as much as until then, or up to a quarter more: inputs and output gradients of its products.
std::vector<PartMemory> part_memory(const Partition& partition);

}  // namespace masformer
