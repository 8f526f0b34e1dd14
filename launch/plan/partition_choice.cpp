#include "launch/plan/partition_choice.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "launch/plan/describe.h"
#include "launch/plan/schedule_choice.h"
#include "launch/plan/step_costs.h"
#include "model/cost/model_costs.h"
#include "parallel/pipeline/balance.h"
#include "parallel/pipeline/clearly_less.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {
namespace {

constexpr std::int64_t no_limit = PlanInputs::unlimited;
constexpr int attempts = 8;

std::vector<std::vector<Recompute>> recompute_choices(const Options& options, const RunPlan& plan) {
  if (!chooses_recompute(options)) return {plan.policy.recompute};
  std::vector<std::vector<Recompute>> choices;
  for (const auto& [policy, name] : enum_names<Recompute>) {
    choices.emplace_back(static_cast<std::size_t>(plan.model.layers()), policy);
  }
  return choices;
}

// The recorded partition, if the layout is the one that it was made for.
std::optional<Partition> kept_partition(const PlanInputs& inputs, const RunPlan& plan) {
  if (!inputs.recorded || inputs.recorded->mesh != plan.mesh.to_string()) return std::nullopt;
  Partition partition;
  int begin = 0;
  for (const int count : inputs.recorded->counts) {
    partition.push_back({begin, begin + count});
    begin += count;
    if (count < 1) return std::nullopt;
  }
  const bool fits = std::ssize(partition) == plan.training.placement.parts();
  return fits && begin == plan.model.layers() ? std::optional(partition) : std::nullopt;
}

// The largest of a stage's ranks.
std::int64_t exact_bytes(const RunPlan& plan, int pipe) {
  return largest_memory(plan, pipe, Purpose::training).total();
}

// [part] How many micro-batches hold activations at once, to their weights' gradients.
std::vector<int> held_activations(const Schedule& schedule) {
  std::vector<int> held;
  for (const HeldMicroBatches& part : held_micro_batches(schedule)) {
    held.push_back(part.until_weight);
  }
  return held;
}

class Choice {
 public:
  Choice(const Options& options, const PlanInputs& inputs, RunPlan& plan)
      : options_(options),
        inputs_(inputs),
        plan_(plan),
        figures_(figures_for(inputs, plan)),
        estimated_(figures_, plan.policy.context_full),
        recompute_(recompute_choices(options, plan)) {
    if (options.parallel.partition != "auto") {
      fixed_ = plan.partition;
      plan.forecast.source = "as set";
    } else if (auto kept = kept_partition(inputs, plan)) {
      fixed_ = *kept;
      plan.forecast.source = "as before";
    } else {
      plan.forecast.source = "auto";
    }
    plan.forecast.costs = times().source();
    plan.forecast.memory_limit = rank_limit();
    ModelCosts costs = model_costs(plan.model, plan.mesh, plan.training.placement, plan.policy,
                                   recompute_, times());
    problem_ = {.blocks = std::move(costs.blocks),
                .embedding = costs.embedding,
                .head = costs.head,
                .placement = plan.training.placement,
                .micro_batches = plan.micro_batches,
                .held = held_activations(plan.training),
                .memory = std::vector(static_cast<std::size_t>(plan.mesh.pipe), no_limit)};
    if (plan.mesh.pipe > 1 && !is_1f1b(options.parallel.schedule)) make_timer();
  }

  std::string run() {
    if (fits_without_limit()) return "";
    const std::int64_t limit = rank_limit();
    problem_.memory.assign(problem_.memory.size(), limit);
    for (int attempt = 0; attempt < attempts; ++attempt) {
      solve();
      const std::vector<std::int64_t> exact = exact_memory();
      if (std::ranges::all_of(exact, [&](std::int64_t bytes) { return bytes <= limit; })) return "";
      if (!found_.fits) break;
      // Where the linear model is too low, the stage has less.
      for (std::size_t stage = 0; stage < exact.size(); ++stage) {
        const std::int64_t error = exact[stage] - found_.stages[stage].bytes;
        problem_.memory[stage] = std::min(problem_.memory[stage], limit - error);
      }
    }
    return options_.plan.memory_gib > 0 ? shortage(limit) : "";
  }

  void set_forecast() {
    Forecast& forecast = plan_.forecast;
    forecast.step_seconds = found_.step_seconds;
    for (const StageLoad& stage : found_.stages) forecast.stage_seconds.push_back(stage.seconds);
    forecast.even = even_partition(plan_.model.layers(), problem_.placement.parts());
    problem_.memory.assign(problem_.memory.size(), no_limit);
    const Balance best = found_;
    const Balance even =
        timer_ ? simulated(load_of(problem_, forecast.even)) : load_of(problem_, forecast.even);
    take(best);
    forecast.even_step_seconds = even.step_seconds;
    for (const StageLoad& stage : even.stages) forecast.even_stage_seconds.push_back(stage.seconds);
  }

 private:
  std::int64_t rank_limit() const { return memory_limit(options_, inputs_); }

  const LayerTimes& times() const { return inputs_.times != nullptr ? *inputs_.times : estimated_; }

  void make_timer() {
    const HandOffCosts costs = hand_off_costs(plan_, plan_.describe_stage({}), figures_);
    timer_.emplace(
        [&](int micro_batches) { return first_schedule(options_, plan_.mesh.pipe, micro_batches); },
        plan_.mesh.pipe, plan_.micro_batches,
        HandOffSeconds{.message = costs.link.latency + costs.link.transfer_seconds(),
                       .local = costs.local_seconds});
  }

  // Where no formula gives the step, a few partitions are compared by the simulation of a whole
  // step, which knows the sums of gradients and the update, too.
  void solve() {
    const int parts = problem_.placement.parts();
    const Partition even = even_partition(plan_.model.layers(), parts);
    if (!timer_) {
      const bool is_free = fixed_.empty() && plan_.mesh.pipe > 1;  // one stage holds all blocks
      return take(is_free ? balance(problem_) : load_of(problem_, fixed_.empty() ? even : fixed_));
    }
    if (!fixed_.empty()) return take(simulated(load_of(problem_, fixed_)));
    const auto work = inputs_.searches_briefly ? brief_search : thorough_search;
    const Partition start = start_of_search(problem_);
    Balance best = simulated(load_of(problem_, even));
    for (const Balance& other :
         {load_of(problem_, start), balance(problem_, *timer_, start, work)}) {
      if (other.partition == best.partition) continue;
      const Balance candidate = simulated(other);
      if (is_better(candidate, best)) best = candidate;
    }
    take(best);
  }

  bool is_better(const Balance& a, const Balance& b) const {
    const std::int64_t short_a = short_bytes(a), short_b = short_bytes(b);
    if (short_a != short_b) return short_a < short_b;
    if (clearly_less(a.step_seconds, b.step_seconds)) return true;
    return !clearly_less(b.step_seconds, a.step_seconds) && largest_stage(a) < largest_stage(b);
  }

  static std::int64_t largest_stage(const Balance& balance) {
    return std::ranges::max(balance.stages, {}, &StageLoad::bytes).bytes;
  }

  // What the stages take beyond their memory, in total.
  std::int64_t short_bytes(const Balance& balance) const {
    std::int64_t bytes = 0;
    for (std::size_t stage = 0; stage < balance.stages.size(); ++stage) {
      bytes += std::max<std::int64_t>(balance.stages[stage].bytes - problem_.memory[stage], 0);
    }
    return bytes;
  }

  // With the simulated time of the step.
  Balance simulated(Balance balance) {
    take(balance);
    balance.step_seconds =
        simulate_step(plan_.training, step_costs(plan_, figures_, times())).seconds;
    return balance;
  }

  // Gives the plan the partition, and each stage's recomputation.
  void take(const Balance& balance) {
    found_ = balance;
    plan_.partition = found_.partition;
    for (std::size_t part = 0; part < found_.partition.size(); ++part) {
      const int stage = problem_.placement.place(static_cast<int>(part)).stage;
      const auto& chosen = recompute_[static_cast<std::size_t>(
          found_.stages[static_cast<std::size_t>(stage)].choice)];
      const LayerRange range = found_.partition[part];
      std::copy(chosen.begin() + range.begin, chosen.begin() + range.end,
                plan_.policy.recompute.begin() + range.begin);
    }
  }

  // Whether the best of all partitions and the fastest recomputation need no more memory than
  // there is.
  bool fits_without_limit() {
    solve();
    const std::int64_t limit = rank_limit();
    if (limit == no_limit) return true;
    const std::vector<std::int64_t> exact = exact_memory();
    if (std::ranges::all_of(exact, [&](std::int64_t bytes) { return bytes <= limit; })) return true;
    if (options_.plan.memory_gib > 0 || inputs_.host_memory == 0) return false;
    // Stages that share a host may take more than others.
    const std::int64_t ranks = plan_.mesh.size() / plan_.mesh.pipe;
    const auto sum = std::accumulate(exact.begin(), exact.end(), std::int64_t{0});
    return sum <= inputs_.host_memory / ranks;
  }

  std::vector<std::int64_t> exact_memory() const {
    std::vector<std::int64_t> bytes;
    for (int pipe = 0; pipe < plan_.mesh.pipe; ++pipe) bytes.push_back(exact_bytes(plan_, pipe));
    return bytes;
  }

  std::string shortage(std::int64_t limit) const {
    return fmt::format(
        "plan.memory_gib={:.4g} is too little for this layout{}: a rank takes {:.4g} GiB\n"
        "What the ranks would take at least:\n{}",
        double(limit) / (1 << 30),
        chooses_recompute(options_) ? ", whatever is recomputed" : "; try train.recompute=auto",
        double(std::ranges::max(exact_memory())) / (1 << 30),
        describe_memory(plan_, Purpose::training));
  }

  const Options& options_;
  const PlanInputs& inputs_;
  RunPlan& plan_;
  const DeviceFigures& figures_;
  EstimatedTimes estimated_;
  std::vector<std::vector<Recompute>> recompute_;  // by choice
  Partition fixed_;                                // empty: free
  BalanceProblem problem_;
  std::optional<StepTimer> timer_;  // for schedules whose step no formula gives
  Balance found_;
};

}  // namespace

std::int64_t memory_limit(const Options& options, const PlanInputs& inputs) {
  if (options.plan.memory_gib == 0) return inputs.rank_memory;
  return static_cast<std::int64_t>(options.plan.memory_gib * (std::int64_t{1} << 30));
}

const DeviceFigures& figures_for(const PlanInputs& inputs, const RunPlan& plan) {
  return inputs.figures != nullptr ? *inputs.figures : figures_of(plan.policy.device);
}

bool fits(const RunPlan& plan, std::int64_t memory) {
  if (memory == PlanInputs::unlimited) return true;
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) {
    if (largest_memory(plan, pipe, Purpose::training).total() > memory) return false;
  }
  return true;
}

bool chooses_recompute(const Options& options) {
  return options.train.recompute == "auto";
}

std::string choose_partition(const Options& options, const PlanInputs& inputs, RunPlan& plan) {
  Choice choice(options, inputs, plan);
  std::string shortage = choice.run();
  if (shortage.empty()) choice.set_forecast();
  return shortage;
}

}  // namespace masformer
