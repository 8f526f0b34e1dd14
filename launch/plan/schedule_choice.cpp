#include "launch/plan/schedule_choice.h"

#include <utility>

#include "launch/plan/partition_choice.h"
#include "launch/plan/step_costs.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {
namespace {

bool orders_by_costs(const Options& options) {
  return options.parallel.schedule == "auto";
}

ScheduleRequest request_of(const Options& options, int stages, int micro_batches) {
  ScheduleRequest request;
  request.stages = stages;
  request.micro_batches = micro_batches;
  request.chunks = static_cast<int>(options.parallel.chunks);
  return request;
}

void set_schedule(Schedule schedule, RunPlan& plan) {
  plan.training = std::move(schedule);
  plan.evaluation = forward_only(plan.training.placement, plan.micro_batches);
  validate(plan.training);
  validate(plan.evaluation);
}

}  // namespace

Schedule first_schedule(const Options& options, int stages, int micro_batches) {
  const ScheduleRequest request = request_of(options, stages, micro_batches);
  if (!orders_by_costs(options)) return make_schedule(options.parallel.schedule, request);
  switch (chunks_of_schedule(options.parallel.schedule, request.chunks)) {
    case 1:
      return zero_bubble(stages, micro_batches);
    case 2:
      return zero_bubble_v(stages, micro_batches);
    default:
      return make_schedule("interleaved", request);
  }
}

void order_by_costs(const Options& options, const PlanInputs& inputs, std::int64_t memory,
                    RunPlan& plan) {
  if (!orders_by_costs(options) || plan.mesh.pipe == 1) return;
  const DeviceFigures& figures = figures_of(plan.policy.device);
  const EstimatedTimes estimated(figures, plan.policy.context_full);
  const StepCosts costs =
      step_costs(plan, figures, inputs.times != nullptr ? *inputs.times : estimated);
  ScheduleRequest request = request_of(options, plan.mesh.pipe, plan.micro_batches);
  request.costs = {
      .parts = part_sums(costs), .link = costs.link, .hand_over_seconds = costs.hand_over_seconds};
  request.memory = part_memory(plan.partition);
  Schedule first = plan.training;
  set_schedule(make_schedule(options.parallel.schedule, request), plan);
  const bool moved = !(plan.training.placement == first.placement);
  if (moved || !fits(plan, memory)) set_schedule(std::move(first), plan);
}

std::vector<PartMemory> part_memory(const Partition& partition) {
  std::vector<PartMemory> all;
  for (const LayerRange& blocks : partition) {
    const auto units = static_cast<double>(blocks.size());
    all.push_back({.until_input = units, .until_weight = units});
  }
  return all;
}

}  // namespace masformer
