#include "launch/plan/partition_choice.h"

#include <algorithm>
#include <cstdlib>
#include <map>
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
constexpr int few_attempts = 3, many_attempts = 8;

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

// Whether stages that take so much fit; a limit is known.
bool are_within(const Options& options, const PlanInputs& inputs, const RunPlan& plan,
                const std::vector<std::int64_t>& stage_bytes) {
  if (std::ranges::max(stage_bytes) <= memory_limit(options, inputs)) return true;
  if (options.plan.memory_gib > 0 || inputs.host_memory == 0) return false;
  const std::int64_t ranks = plan.mesh.size() / plan.mesh.pipe;  // of a stage
  const auto sum = std::accumulate(stage_bytes.begin(), stage_bytes.end(), std::int64_t{0});
  return sum <= inputs.host_memory / ranks;
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
                .held = {},
                .waiting = {},
                .memory = std::vector(static_cast<std::size_t>(plan.mesh.pipe), no_limit)};
    for (const HeldMicroBatches& part : held_micro_batches(plan.training)) {
      problem_.held.push_back(part.until_input);
      problem_.waiting.push_back(part.until_weight - part.until_input);
    }
    if (plan.mesh.pipe > 1 && !is_1f1b(options.parallel.schedule)) make_timer();
  }

  std::string run() {
    if (fits_without_limit()) return "";
    const std::int64_t limit = rank_limit();
    std::optional<Balance> best;  // of those that fit; if none does, the one that takes the least
    std::int64_t least = no_limit;
    const auto consider = [&](const std::vector<std::int64_t>& exact) {
      const std::int64_t bytes = std::max(std::ranges::max(exact), limit);
      const bool is_faster = best && clearly_less(found_.step_seconds, best->step_seconds);
      if (bytes > least || (bytes == least && !is_faster)) return;
      least = bytes;
      best = found_;
    };
    const Partition even = even_partition(plan_.model.layers(), problem_.placement.parts());
    take(evaluated(fixed_.empty() ? even : fixed_));
    consider(exact_memory());
    problem_.memory.assign(problem_.memory.size(), limit);
    const int attempts = inputs_.searches_briefly ? few_attempts : many_attempts;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      const Balance before = found_;
      solve(brief_search);
      if (attempt > 0 && are_equal(before, found_)) break;
      const std::vector<std::int64_t> exact = exact_memory();
      consider(exact);
      if (!correct_memory(exact, limit)) break;
    }
    if (!inputs_.searches_briefly && timer_ && fixed_.empty()) {
      solve(thorough_search);
      consider(exact_memory());
    }
    take(*best);
    return least > limit && options_.plan.memory_gib > 0 ? shortage(limit) : "";
  }

  void set_forecast() {
    Forecast& forecast = plan_.forecast;
    forecast.step_seconds = found_.step_seconds;
    for (const StageLoad& stage : found_.stages) forecast.stage_seconds.push_back(stage.seconds);
    forecast.even = even_partition(plan_.model.layers(), problem_.placement.parts());
    problem_.memory.assign(problem_.memory.size(), no_limit);
    const Balance best = found_;
    const Balance even = evaluated(forecast.even);
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

  // A partition with the measure that others are compared by. Where no formula gives the step, that
  // is a simulation of the whole step, which knows the sums of gradients and the update, too.
  Balance evaluated(const Partition& partition) {
    const Balance load = load_of(problem_, partition);
    return timer_ ? simulated(load) : load;
  }

  void solve(std::size_t work) {
    const Partition even = even_partition(plan_.model.layers(), problem_.placement.parts());
    if (!fixed_.empty()) return take(evaluated(fixed_));
    if (plan_.mesh.pipe == 1) return take(evaluated(even));  // one stage holds all blocks
    if (!timer_) return take(balance(problem_));
    const Partition start = start_of_search(problem_);
    Balance best = evaluated(even);
    for (const Partition& other : {start, balance(problem_, *timer_, start, work).partition}) {
      if (other == best.partition) continue;
      const Balance candidate = evaluated(other);
      if (is_better(candidate, best)) best = candidate;
    }
    take(best);
  }

  static bool are_equal(const Balance& a, const Balance& b) {
    return a.partition == b.partition &&
           std::ranges::equal(a.stages, b.stages, {}, &StageLoad::choice, &StageLoad::choice);
  }

  // The balancer's linear model of memory may be too low or too high. Gives each stage what the
  // model takes where the exact plan takes the limit, by the plan found last. False if that hardly
  // changes anything.
  bool correct_memory(const std::vector<std::int64_t>& exact, std::int64_t limit) {
    bool changes = false;
    for (std::size_t stage = 0; stage < exact.size(); ++stage) {
      const double ratio = double(found_.stages[stage].bytes) / double(exact[stage]);
      const auto memory = static_cast<std::int64_t>(double(limit) * ratio);
      const std::int64_t change = std::abs(memory - problem_.memory[stage]);
      changes = changes || change > limit / 1000;
      problem_.memory[stage] = memory;
    }
    return changes;
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
    solve(inputs_.searches_briefly ? brief_search : thorough_search);
    return rank_limit() == no_limit || are_within(options_, inputs_, plan_, exact_memory());
  }

  // [stage] Planning a stage's memory takes longer than finding a partition, and partitions have
  // stages in common.
  std::vector<std::int64_t> exact_memory() {
    std::vector<std::int64_t> bytes;
    for (int pipe = 0; pipe < plan_.mesh.pipe; ++pipe) {
      std::vector<int> stage{pipe, found_.stages[static_cast<std::size_t>(pipe)].choice};
      for (int chunk = 0; chunk < problem_.placement.chunks(); ++chunk) {
        const int part = problem_.placement.part(pipe, chunk);
        const LayerRange range = plan_.partition[static_cast<std::size_t>(part)];
        stage.insert(stage.end(), {range.begin, range.end});
      }
      const auto [known, is_new] = exact_.try_emplace(std::move(stage), 0);
      if (is_new) known->second = exact_bytes(plan_, pipe);
      bytes.push_back(known->second);
    }
    return bytes;
  }

  std::string shortage(std::int64_t limit) {
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
  std::optional<StepTimer> timer_;                  // for schedules whose step no formula gives
  std::map<std::vector<int>, std::int64_t> exact_;  // by stage, choice and blocks
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

bool fits_machine(const Options& options, const PlanInputs& inputs, const RunPlan& plan) {
  if (memory_limit(options, inputs) == no_limit) return true;
  std::vector<std::int64_t> bytes;
  for (int pipe = 0; pipe < plan.mesh.pipe; ++pipe) bytes.push_back(exact_bytes(plan, pipe));
  return are_within(options, inputs, plan, bytes);
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
