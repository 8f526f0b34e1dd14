// Chooses which blocks each pipeline stage holds, and what it recomputes, where the options leave
// that open: parallel.partition=auto and train.recompute=auto.
#pragma once

#include <string>
#include <vector>

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "launch/plan/run_plan.h"

namespace masformer {

// Bytes that each rank may take: plan.memory_gib, or what the machine has.
std::int64_t memory_limit(const Options& options, const PlanInputs& inputs);

// Those that are planned for.
const DeviceFigures& figures_for(const PlanInputs& inputs, const RunPlan& plan);

// Whether no rank of a plan of training takes more than `memory` bytes.
bool fits(const RunPlan& plan, std::int64_t memory);

// Whether a plan of training stays within memory_limit(); without plan.memory_gib, stages that
// share one host may take more than others.
bool fits_machine(const Options& options, const PlanInputs& inputs, const RunPlan& plan);

// Whether the options leave the recomputation open.
bool chooses_recompute(const Options& options);

// Sets partition, recompute and forecast of a plan of training whose other members are set. The
// costs are those of EstimatedTimes, or the measured ones. The memory that plan_memory() finds has
// the last word: by how much the balancer's linear model of it was too low or too high, stages have
// less or more when it solves again. Of those that fit, the fastest is taken.
//
// Returns "" if every stage is within its memory, or if only the machine's own memory is too small,
// which the check before the allocation reports with what is left then. Otherwise returns a message
// with what each stage would need.
std::string choose_partition(const Options& options, const PlanInputs& inputs, RunPlan& plan);

}  // namespace masformer
