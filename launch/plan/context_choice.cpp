#include "launch/plan/context_choice.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "launch/plan/partition_choice.h"
#include "model/cost/layer_times.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The attention layers on each stage.
std::vector<std::vector<ContextLayer>> context_layers_by_stage(const RunPlan& plan) {
  std::vector<std::vector<ContextLayer>> stages(static_cast<std::size_t>(plan.mesh.pipe));
  const auto layers = context_layers(spans_of(plan.model.blocks), plan.policy.context_full);
  for (std::size_t part = 0; part < plan.partition.size(); ++part) {
    const LayerRange range = plan.partition[part];
    auto& stage = stages[static_cast<std::size_t>(
        plan.training.placement.place(static_cast<int>(part)).stage)];
    stage.insert(stage.end(), layers.begin() + range.begin, layers.begin() + range.end);
  }
  return stages;
}

// How the context ranks may share full layers: as the options say, or as a run that is resumed
// under the same layout did, else in all ways that are possible.
std::vector<ContextFull> exchange_choices(const Options& options, const PlanInputs& inputs,
                                          const RunPlan& plan) {
  if (options.parallel.context_full) return {*options.parallel.context_full};
  std::vector<ContextFull> choices;
  const auto spans = spans_of(plan.model.blocks);
  for (const auto& [full, name] : enum_names<ContextFull>) {
    const bool matters = std::ranges::any_of(spans, [&, each = full](const Span& span) {
      return is_by_heads(each, span, plan.mesh.context);
    });
    const bool possible = head_violations(plan.model, plan.mesh, full).empty();
    if (full != ContextFull::ring && !(matters && possible)) continue;
    const auto& recorded = inputs.recorded;
    if (recorded && recorded->mesh == plan.mesh.to_string() && recorded->context_full == name) {
      return {full};
    }
    choices.push_back(full);
  }
  return choices;
}

void set_exchange(ContextFull full, const Options& options, const PlanInputs& inputs,
                  RunPlan& plan) {
  plan.policy.context_full = full;
  plan.policy.sharding = choose_sharding(options, plan, inputs);
}

// Those within the memory come first, then the shorter step, then the first of `choices`.
ContextFull fastest(const std::vector<ContextFull>& choices, const Options& options,
                    PlanInputs inputs, const RunPlan& plan) {
  inputs.times = nullptr;
  std::optional<std::pair<bool, double>> least;
  ContextFull best = choices.front();
  for (const ContextFull full : choices) {
    RunPlan tried = plan;
    set_exchange(full, options, inputs, tried);
    if (!choose_partition(options, inputs, tried).empty()) continue;
    const std::pair cost{!fits(tried, memory_limit(options, inputs)), tried.forecast.step_seconds};
    if (least && *least <= cost) continue;
    least = cost;
    best = full;
  }
  return best;
}

}  // namespace

SequenceSharding choose_sharding(const Options& options, const RunPlan& plan,
                                 const PlanInputs& inputs) {
  const auto& recorded = inputs.recorded;
  if (!options.parallel.context_order && recorded && recorded->mesh == plan.mesh.to_string()) {
    try {
      return SequenceSharding::parse(recorded->context_order, options.train.sequence,
                                     plan.mesh.context);
    } catch (const Error&) {  // of another sequence, which the resume refuses, or not recorded
    }
  }
  ShardingCache own;
  ShardingCache& cache = inputs.shardings != nullptr ? *inputs.shardings : own;
  return cache.get(options.parallel.context_order, options.train.sequence, plan.mesh.context,
                   context_layers_by_stage(plan),
                   pairs_per_row(figures_of(options.runtime.device), options.train.dtype));
}

KeptContext kept_context(const Options& options, const PlanInputs& inputs, const RunPlan& plan) {
  const auto& recorded = inputs.recorded;
  if (!recorded || recorded->mesh != plan.mesh.to_string()) return {};
  return {.order = !options.parallel.context_order &&
                   recorded->context_order == plan.policy.sharding->to_string(),
          .full = !options.parallel.context_full &&
                  recorded->context_full == name_of(plan.policy.context_full)};
}

void choose_exchange(const Options& options, const PlanInputs& inputs, RunPlan& plan) {
  const std::vector<ContextFull> choices = exchange_choices(options, inputs, plan);
  const ContextFull chosen =
      choices.size() == 1 ? choices.front() : fastest(choices, options, inputs, plan);
  if (chosen != plan.policy.context_full) set_exchange(chosen, options, inputs, plan);
}

}  // namespace masformer
