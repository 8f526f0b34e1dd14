#include "launch/plan/schedule_choice.h"

#include <optional>
#include <utility>

#include "launch/plan/partition_choice.h"
#include "launch/plan/step_costs.h"
#include "parallel/pipeline/action_text.h"
#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

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

void set_schedule(Schedule schedule, OrderSource source, RunPlan& plan) {
  plan.training = std::move(schedule);
  plan.order_source = source;
  plan.evaluation = forward_only(plan.training.placement, plan.micro_batches);
  validate(plan.training);
  validate(plan.evaluation);
}

bool take_if_it_fits(Schedule schedule, OrderSource source, std::int64_t memory, RunPlan& plan) {
  Schedule before = plan.training;
  set_schedule(std::move(schedule), source, plan);
  if (fits(plan, memory)) return true;
  set_schedule(std::move(before), OrderSource::generator, plan);
  return false;
}

// The recorded order, if the plan has the layout and the partition that it was made for.
std::optional<Schedule> kept_order(const PlanInputs& inputs, const RunPlan& plan) {
  const auto& recorded = inputs.recorded;
  if (!recorded || recorded->actions.empty() || recorded->mesh != plan.mesh.to_string() ||
      recorded->counts != counts_of(plan.partition)) {
    return std::nullopt;
  }
  Schedule schedule{plan.training.placement, plan.micro_batches, {}};
  try {
    for (const std::string& line : recorded->actions) {
      schedule.actions.push_back(parse_actions(line));
    }
    validate(schedule);
  } catch (const Error&) {  // of another number of micro-batches or chunks
    return std::nullopt;
  }
  return schedule;
}

StepCosts costs_of(const PlanInputs& inputs, const RunPlan& plan) {
  const DeviceFigures& figures = figures_for(inputs, plan);
  const EstimatedTimes estimated(figures, plan.policy.context_full);
  return step_costs(plan, figures, inputs.times != nullptr ? *inputs.times : estimated);
}

// The fastest order that the search finds; nothing if the plan's own is as fast, or if it is for
// another placement.
std::optional<Schedule> searched_order(const Options& options, const PlanInputs& inputs,
                                       const RunPlan& plan) {
  const StepCosts costs = costs_of(inputs, plan);
  ScheduleRequest request = request_of(options, plan.mesh.pipe, plan.micro_batches);
  request.costs = {
      .parts = part_sums(costs), .link = costs.link, .hand_over_seconds = costs.hand_over_seconds};
  request.memory = part_memory(plan.partition);
  Schedule found = make_schedule(options.parallel.schedule, request);
  if (!(found.placement == plan.training.placement)) return std::nullopt;
  const bool is_faster = clearly_less(simulate_step(found, costs).seconds,
                                      simulate_step(plan.training, costs).seconds);
  return is_faster ? std::optional(std::move(found)) : std::nullopt;
}

}  // namespace

std::vector<std::string> base_schedules(const Options& options) {
  if (!orders_by_costs(options)) return {options.parallel.schedule};
  switch (
      chunks_of_schedule(options.parallel.schedule, static_cast<int>(options.parallel.chunks))) {
    case 1:
      return {"zero-bubble", "1f1b"};
    case 2:
      return {"zero-bubble-v"};
    default:
      return {"interleaved"};
  }
}

Schedule first_schedule(const Options& options, int stages, int micro_batches) {
  return make_schedule(base_schedules(options).front(), request_of(options, stages, micro_batches));
}

double simulated_step(const PlanInputs& inputs, const RunPlan& plan) {
  return simulate_step(plan.training, costs_of(inputs, plan)).seconds;
}

void order_by_costs(const Options& options, const PlanInputs& inputs, std::int64_t memory,
                    RunPlan& plan) {
  if (!orders_by_costs(options) || plan.mesh.pipe == 1) return;
  plan.records_order = true;
  if (std::optional<Schedule> kept = kept_order(inputs, plan)) {
    // It ran before: what is free now must not decide which order, and so which bits, a run has.
    const std::int64_t limit = options.plan.memory_gib == 0 ? PlanInputs::unlimited : memory;
    if (take_if_it_fits(*std::move(kept), OrderSource::record, limit, plan)) return;
  }
  if (std::optional<Schedule> found = searched_order(options, inputs, plan)) {
    take_if_it_fits(*std::move(found), OrderSource::search, memory, plan);
  }
}

std::vector<std::string> recorded_order(const RunPlan& plan) {
  std::vector<std::string> lines;
  if (!plan.records_order) return lines;
  for (const std::vector<Action>& actions : plan.training.actions) {
    lines.push_back(action_text(actions));
  }
  return lines;
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
