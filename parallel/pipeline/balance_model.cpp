#include "parallel/pipeline/balance_model.h"

#include <cmath>

#include "runtime/error.h"

namespace masformer {
namespace {

// The slowest layer takes a multiple of this number of ticks, which all numbers up to 18 divide:
// costs that are in the ratio of small numbers have ticks in exactly that ratio.
constexpr double ratio = 12252240;
constexpr int max_shift = 16;           // ticks are finer than the noise of any measurement then
constexpr Ticks max_repeats = 1 << 22;  // far beyond any run

const BlockCost& cost_of(const BalanceBlock& block, std::size_t choice) {
  return block.choices[choice];
}

// What a block keeps for all micro-batches that its part holds.
std::int64_t activation_bytes(const BalanceProblem& problem, const BlockCost& cost, int part) {
  const auto index = static_cast<std::size_t>(part);
  const std::int64_t waiting = problem.waiting.empty() ? 0 : problem.waiting[index];
  return problem.held[index] * cost.held_bytes + waiting * cost.waiting_bytes;
}

void check(const BalanceProblem& problem) {
  const int parts = problem.placement.parts(), stages = problem.placement.stages();
  require(problem.micro_batches >= 1, "a step has {} micro-batches", problem.micro_batches);
  require(std::ssize(problem.held) == parts && std::ssize(problem.memory) == stages,
          "there are {} parts on {} stages, but counts of held micro-batches for {} parts and "
          "memory for {} stages",
          parts, stages, problem.held.size(), problem.memory.size());
  require(problem.waiting.empty() || std::ssize(problem.waiting) == parts,
          "there are {} parts, but counts of waiting micro-batches for {}", parts,
          problem.waiting.size());
  even_partition(static_cast<int>(problem.blocks.size()), parts);  // refuses too few blocks
  const std::size_t choices = problem.blocks.front().choices.size();
  require(choices > 0 && choices <= max_choices, "blocks have {} choices: 1 to {} are allowed",
          choices, max_choices);
  for (const BalanceBlock& block : problem.blocks) {
    require(block.choices.size() == choices, "blocks have {} and {} choices: they must be equal",
            choices, block.choices.size());
  }
}

// The seconds of a tick: as few as the objectives, in 64 bits, allow.
double tick_of(const BalanceProblem& problem, Ticks repeats) {
  double slowest = 0, sum = 0;
  const auto count = [&](const BlockCost& cost) {
    slowest = std::max(slowest, cost.seconds.total());
    sum += cost.seconds.total();
  };
  count(problem.embedding.cost);
  count(problem.head.cost);
  for (const BalanceBlock& block : problem.blocks) std::ranges::for_each(block.choices, count);
  if (slowest == 0) return 1;
  const double largest = sum / slowest * static_cast<double>(repeats + 1);  // in slowest layers
  int shift = max_shift;
  while (shift > 0 && largest * std::ldexp(ratio, shift) > 0x1p61) --shift;
  return slowest / std::ldexp(ratio, shift);
}

}  // namespace

std::optional<Load> LoadSum::best(std::int64_t memory) const {
  std::optional<Load> found;
  for (std::size_t choice = 0; choice < choices_; ++choice) {
    const Ticks ticks = sums_[choice].ticks;
    const std::int64_t bytes = bytes_of(choice);
    if (bytes > memory) continue;
    if (found && std::tie(found->ticks, found->bytes) <= std::tie(ticks, bytes)) continue;
    found = Load{ticks, bytes, static_cast<int>(choice)};
  }
  return found;
}

Load LoadSum::smallest() const {
  std::optional<Load> found;
  for (std::size_t choice = 0; choice < choices_; ++choice) {
    const Ticks ticks = sums_[choice].ticks;
    const std::int64_t bytes = bytes_of(choice);
    if (found && std::tie(found->bytes, found->ticks) <= std::tie(bytes, ticks)) continue;
    found = Load{ticks, bytes, static_cast<int>(choice)};
  }
  return *found;
}

BalanceModel::BalanceModel(const BalanceProblem& problem) : problem_(&problem) {
  check(problem);
  repeats_ = std::min<Ticks>(problem.micro_batches - 1, max_repeats);
  unit_ = tick_of(problem, repeats_);
  least_sum_ = ticks(problem.embedding.cost.seconds) + ticks(problem.head.cost.seconds);
  largest_sum_ = least_sum_;
  for (const BalanceBlock& block : problem.blocks) {
    auto& costs = block_ticks_.emplace_back();
    for (const BlockCost& cost : block.choices) costs.push_back(ticks(cost.seconds));
    least_sum_ += std::ranges::min(costs);
    largest_sum_ += std::ranges::max(costs);
    slowest_block_ = std::max(slowest_block_, std::ranges::min(costs));
  }
}

Ticks BalanceModel::ticks(const PassSeconds& seconds) const {
  return std::llround(seconds.total() / unit_);
}

void BalanceModel::add_end(LoadSum& sum, const BalanceEnd& end, int part) const {
  const std::int64_t bytes = end.fixed_bytes + activation_bytes(*problem_, end.cost, part);
  for (std::size_t choice = 0; choice < sum.choices(); ++choice) {
    sum.add(choice, ticks(end.cost.seconds), bytes, end.cost.working_bytes);
  }
}

LoadSum BalanceModel::ends_of(int stage) const {
  LoadSum sum(problem_->blocks.front().choices.size());
  if (problem_->placement.holds(stage, 0)) add_end(sum, problem_->embedding, 0);
  if (problem_->placement.holds(stage, parts() - 1)) add_end(sum, problem_->head, parts() - 1);
  return sum;
}

void BalanceModel::add_block(LoadSum& sum, int block, int part) const {
  const auto index = static_cast<std::size_t>(block);
  const BalanceBlock& costs = problem_->blocks[index];
  for (std::size_t choice = 0; choice < sum.choices(); ++choice) {
    const BlockCost& cost = cost_of(costs, choice);
    sum.add(choice, block_ticks_[index][choice],
            costs.fixed_bytes + activation_bytes(*problem_, cost, part), cost.working_bytes);
  }
}

LoadSum BalanceModel::sum_of(int stage, const Partition& partition) const {
  LoadSum sum = ends_of(stage);
  for (int chunk = 0; chunk < problem_->placement.chunks(); ++chunk) {
    const int part = problem_->placement.part(stage, chunk);
    const LayerRange range = partition[static_cast<std::size_t>(part)];
    for (int block = range.begin; block < range.end; ++block) add_block(sum, block, part);
  }
  return sum;
}

Balance BalanceModel::result(const Partition& partition, const std::vector<int>& choices) const {
  Balance result{.partition = partition, .stages = {}};
  double slowest = 0, sum = 0;
  for (int stage = 0; stage < stages(); ++stage) {
    const auto choice = static_cast<std::size_t>(choices[static_cast<std::size_t>(stage)]);
    PassSeconds seconds;
    if (problem_->placement.holds(stage, 0)) seconds += problem_->embedding.cost.seconds;
    for (int chunk = 0; chunk < problem_->placement.chunks(); ++chunk) {
      const int part = problem_->placement.part(stage, chunk);
      const LayerRange range = partition[static_cast<std::size_t>(part)];
      for (int block = range.begin; block < range.end; ++block) {
        seconds += cost_of(problem_->blocks[static_cast<std::size_t>(block)], choice).seconds;
      }
    }
    if (problem_->placement.holds(stage, parts() - 1)) seconds += problem_->head.cost.seconds;
    const std::int64_t bytes = sum_of(stage, partition).bytes_of(choice);
    result.fits &= bytes <= memory(stage);
    result.stages.push_back({static_cast<int>(choice), seconds.total(), bytes});
    slowest = std::max(slowest, seconds.total());
    sum += seconds.total();
  }
  result.step_seconds = (problem_->micro_batches - 1) * slowest + sum;
  return result;
}

Balance balance(const BalanceProblem& problem) {
  require(problem.placement.chunks() == 1, "stages have {} parts: no formula gives their step",
          problem.placement.chunks());
  const BalanceModel model(problem);
  if (auto solved = solve_exactly(model)) return *std::move(solved);
  return least_short(model);
}

Partition start_of_search(BalanceProblem problem) {
  if (const int parts = problem.placement.parts(); problem.placement.chunks() > 1) {
    problem.placement = Placement::round_robin(parts);
    problem.memory.assign(static_cast<std::size_t>(parts),
                          std::numeric_limits<std::int64_t>::max());
  }
  return balance(problem).partition;
}

void check_partition(const BalanceProblem& problem, const Partition& partition) {
  const int parts = problem.placement.parts();
  require(std::ssize(partition) == parts && partition.back().end == std::ssize(problem.blocks),
          "the partition has {} parts up to block {}, but the problem {} parts of {} blocks",
          partition.size(), partition.back().end, parts, problem.blocks.size());
}

Balance load_of(const BalanceProblem& problem, const Partition& partition) {
  const BalanceModel model(problem);
  check_partition(problem, partition);
  std::vector<int> choices;
  for (int stage = 0; stage < model.stages(); ++stage) {
    const LoadSum sum = model.sum_of(stage, partition);
    choices.push_back(sum.best(model.memory(stage)).value_or(sum.smallest()).choice);
  }
  return model.result(partition, choices);
}

}  // namespace masformer
