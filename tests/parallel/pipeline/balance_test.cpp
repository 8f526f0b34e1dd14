#include "parallel/pipeline/balance.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <tuple>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"
#include "tests/parallel/pipeline/scaled_problem.h"

namespace masformer {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

BalanceProblem problem_of(const std::vector<double>& seconds, int stages, int micro_batches) {
  BalanceProblem problem{.placement = Placement::round_robin(stages),
                         .micro_batches = micro_batches};
  for (const double each : seconds) {
    problem.blocks.push_back({0, {{.seconds = {each / 4, each / 2, each / 4}}}});
  }
  for (int stage = 0; stage < stages; ++stage) {
    problem.held.push_back(std::min(micro_batches, stages - stage));
  }
  problem.memory.assign(static_cast<std::size_t>(stages), unlimited);
  return problem;
}

void expect_every_block_once(const Partition& partition, int blocks) {
  int next = 0;
  for (const LayerRange& range : partition) {
    ASSERT_EQ(range.begin, next);
    ASSERT_GT(range.size(), 0);
    next = range.end;
  }
  ASSERT_EQ(next, blocks);
}

// Calls `visit` with every partition of these blocks.
void for_each_partition(int blocks, int parts, const std::function<void(const Partition&)>& visit,
                        Partition head = {}) {
  const int begin = head.empty() ? 0 : head.back().end;
  if (parts == 1) {
    head.push_back({begin, blocks});
    visit(head);
    return;
  }
  for (int end = begin + 1; end <= blocks - (parts - 1); ++end) {
    Partition longer = head;
    longer.push_back({begin, end});
    for_each_partition(blocks, parts - 1, visit, longer);
  }
}

// Step time, slowest stage and largest memory of the best partition and choices that fit; computed
// from the definitions. Costs are multiples of a power of two, so that sums are exact.
struct Best {
  double step = 0, slowest = 0;
  std::int64_t bytes = 0;

  auto operator<=>(const Best&) const = default;
};

std::optional<Best> measure(const BalanceProblem& problem, const Partition& partition,
                            const std::vector<int>& choices) {
  Best result;
  double sum = 0;
  const int parts = problem.placement.parts();
  for (int stage = 0; stage < problem.placement.stages(); ++stage) {
    const auto choice = static_cast<std::size_t>(choices[static_cast<std::size_t>(stage)]);
    double seconds = 0;
    std::int64_t bytes = 0, working = 0;
    const auto add = [&](std::int64_t fixed, const BlockCost& cost, int part) {
      seconds += cost.seconds.total();
      const auto index = static_cast<std::size_t>(part);
      bytes += fixed + problem.held[index] * cost.held_bytes;
      if (!problem.waiting.empty()) bytes += problem.waiting[index] * cost.waiting_bytes;
      working = std::max(working, cost.working_bytes);
    };
    for (int chunk = 0; chunk < problem.placement.chunks(); ++chunk) {
      const int part = problem.placement.part(stage, chunk);
      if (part == 0) add(problem.embedding.fixed_bytes, problem.embedding.cost, part);
      if (part == parts - 1) add(problem.head.fixed_bytes, problem.head.cost, part);
      const LayerRange range = partition[static_cast<std::size_t>(part)];
      for (int block = range.begin; block < range.end; ++block) {
        const BalanceBlock& costs = problem.blocks[static_cast<std::size_t>(block)];
        add(costs.fixed_bytes, costs.choices[choice], part);
      }
    }
    if (bytes + working > problem.memory[static_cast<std::size_t>(stage)]) return std::nullopt;
    result.bytes = std::max(result.bytes, bytes + working);
    result.slowest = std::max(result.slowest, seconds);
    sum += seconds;
  }
  result.step = (problem.micro_batches - 1) * result.slowest + sum;
  return result;
}

// Calls `visit` with every combination of the stages' choices.
void for_each_choice(const BalanceProblem& problem,
                     const std::function<void(const std::vector<int>&)>& visit,
                     std::vector<int> head = {}) {
  if (std::ssize(head) == problem.placement.stages()) return visit(head);
  for (std::size_t choice = 0; choice < problem.blocks.front().choices.size(); ++choice) {
    std::vector<int> longer = head;
    longer.push_back(static_cast<int>(choice));
    for_each_choice(problem, visit, longer);
  }
}

std::optional<Best> best_by_force(const BalanceProblem& problem) {
  std::optional<Best> best;
  for_each_partition(static_cast<int>(problem.blocks.size()), problem.placement.parts(),
                     [&](const Partition& partition) {
                       for_each_choice(problem, [&](const std::vector<int>& choices) {
                         const auto found = measure(problem, partition, choices);
                         if (found && (!best || *found < *best)) best = found;
                       });
                     });
  return best;
}

std::optional<Best> measure(const BalanceProblem& problem, const Balance& balance) {
  std::vector<int> choices;
  for (const StageLoad& stage : balance.stages) choices.push_back(stage.choice);
  return measure(problem, balance.partition, choices);
}

// Random costs of few kinds, so that many partitions are equally good.
class RandomProblems {
 public:
  explicit RandomProblems(unsigned seed) : random_(seed) {}

  BalanceProblem next(int max_blocks, int max_stages) {
    const int stages = number(1, max_stages);
    const int blocks = number(stages, max_blocks);
    BalanceProblem problem{.placement = Placement::round_robin(stages),
                           .micro_batches = number(1, 12)};
    const int kinds = number(1, 2) == 1 ? 3 : 11;
    const int choices = number(1, 3);
    for (int i = 0; i < blocks; ++i) problem.blocks.push_back(block(kinds, choices));
    for (BalanceEnd* const end : {&problem.embedding, &problem.head}) {
      end->fixed_bytes = number(0, 30);
      end->cost = block(kinds, 1).choices.front();
    }
    for (int stage = 0; stage < stages; ++stage) {
      problem.held.push_back(std::max(1, std::min(problem.micro_batches, stages - stage)));
    }
    if (number(1, 2) == 1) {
      for (int stage = 0; stage < stages; ++stage) problem.waiting.push_back(number(0, 3));
    }
    // Between far too little and plenty.
    const std::int64_t memory = number(1, 4) == 1 ? unlimited : number(20, 60 * blocks / stages);
    for (int stage = 0; stage < stages; ++stage) {
      problem.memory.push_back(memory == unlimited ? memory : memory + number(0, 20));
    }
    return problem;
  }

 private:
  int number(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }

  BalanceBlock block(int kinds, int choices) {
    BalanceBlock block{number(1, 10), {}};
    double seconds = 0.25 * number(1, kinds);
    std::int64_t held = number(0, 20);
    for (int choice = 0; choice < choices; ++choice) {
      block.choices.push_back({{seconds, 2 * seconds, seconds}, held, number(0, 5), number(0, 9)});
      seconds += 0.25 * number(0, kinds / 3);
      held = held / 2;
    }
    return block;
  }

  std::mt19937 random_;
};

TEST(Balance, FindsTheBestOfAllPartitionsAndChoices) {
  RandomProblems problems(1);
  int solvable = 0, with_recomputation = 0;
  for (int i = 0; i < 4000; ++i) {
    const BalanceProblem problem = problems.next(9, 4);
    const auto best = best_by_force(problem);
    const Balance found = balance(problem);
    expect_every_block_once(found.partition, static_cast<int>(problem.blocks.size()));
    ASSERT_EQ(found.fits, best.has_value()) << "problem " << i;
    if (!best) continue;
    ++solvable;
    const auto reached = measure(problem, found);
    ASSERT_TRUE(reached);
    ASSERT_DOUBLE_EQ(reached->step, best->step) << "problem " << i;
    ASSERT_DOUBLE_EQ(reached->slowest, best->slowest) << "problem " << i;
    ASSERT_EQ(reached->bytes, best->bytes) << "problem " << i;
    ASSERT_DOUBLE_EQ(found.step_seconds, best->step);
    const auto recomputes = [](const StageLoad& stage) { return stage.choice > 0; };
    with_recomputation += std::ranges::any_of(found.stages, recomputes) ? 1 : 0;
  }
  EXPECT_GT(solvable, 2000);
  EXPECT_GT(with_recomputation, 200);
}

// Whoever is short of memory learns the least that would do.
TEST(Balance, ExceedsMemoryLeastWhereNothingFits) {
  RandomProblems problems(2);
  int tried = 0;
  while (tried < 300) {
    BalanceProblem problem = problems.next(8, 4);
    const Balance found = balance(problem);
    if (found.fits) continue;
    ++tried;
    std::int64_t excess = 0;
    for (std::size_t stage = 0; stage < found.stages.size(); ++stage) {
      excess = std::max(excess, found.stages[stage].bytes - problem.memory[stage]);
    }
    ASSERT_GT(excess, 0);
    for (std::int64_t& memory : problem.memory) memory += excess - 1;
    ASSERT_FALSE(best_by_force(problem)) << "a smaller excess would do";
    for (std::int64_t& memory : problem.memory) memory += 1;
    ASSERT_TRUE(best_by_force(problem));
  }
}

TEST(Balance, IsNeverWorseThanEven) {
  RandomProblems problems(3);
  for (int i = 0; i < 1500; ++i) {
    const BalanceProblem problem = problems.next(24, 6);
    const Balance even = load_of(problem, even_partition(static_cast<int>(problem.blocks.size()),
                                                         problem.placement.parts()));
    if (!even.fits) continue;
    const Balance found = balance(problem);
    ASSERT_TRUE(found.fits);
    ASSERT_LE(found.step_seconds, even.step_seconds * (1 + 1e-9)) << "problem " << i;
    expect_every_block_once(found.partition, static_cast<int>(problem.blocks.size()));
  }
}

TEST(Balance, DoesNotDependOnTheUnitOfTime) {
  RandomProblems problems(4);
  for (int i = 0; i < 500; ++i) {
    const BalanceProblem problem = problems.next(16, 5);
    const Balance before = balance(problem);
    for (const double factor : {1e-6, 1.0 / 3, 7.0, 3e8}) {
      const Balance after = balance(test::scaled_problem(problem, factor));
      ASSERT_EQ(after.partition, before.partition) << "problem " << i << ", factor " << factor;
      for (std::size_t stage = 0; stage < before.stages.size(); ++stage) {
        ASSERT_EQ(after.stages[stage].choice, before.stages[stage].choice);
      }
    }
  }
}

// Counts at which pipelines of other programs lost blocks or kept a stage empty.
TEST(Balance, HoldsEveryBlockOnceWhereStagesDoNotDivideThem) {
  for (const auto& [blocks, stages] : {std::pair(30, 4), std::pair(7, 2), std::pair(8, 8)}) {
    const BalanceProblem problem =
        problem_of(std::vector<double>(static_cast<std::size_t>(blocks), 1.0), stages, 8);
    const Balance found = balance(problem);
    expect_every_block_once(found.partition, blocks);
    EXPECT_EQ(found.partition, even_partition(blocks, stages)) << "of equal blocks";
  }
  std::vector<double> seconds(12, 1);
  for (const std::size_t full : {0, 6, 11}) seconds[full] = 5;
  const BalanceProblem problem = problem_of(seconds, 3, 8);
  const Balance found = balance(problem);
  expect_every_block_once(found.partition, 12);
  EXPECT_EQ(measure(problem, found)->step, best_by_force(problem)->step);
  EXPECT_EQ(found.stages[0].seconds + found.stages[1].seconds + found.stages[2].seconds, 24);
}

TEST(Balance, CountsTheEndsWhereTheyAre) {
  BalanceProblem problem = problem_of(std::vector<double>(8, 1), 2, 4);
  problem.head.cost.seconds.forward = 4;
  EXPECT_EQ(counts_of(balance(problem).partition), (std::vector<int>{6, 2}));
  problem.embedding.cost.seconds.forward = 2;
  EXPECT_EQ(counts_of(balance(problem).partition), (std::vector<int>{5, 3}));
}

TEST(Balance, RecomputesOnlyWhereMemoryRules) {
  BalanceProblem problem = problem_of(std::vector<double>(8, 4), 2, 8);
  for (BalanceBlock& block : problem.blocks) {
    block.fixed_bytes = 10;
    block.choices.front().held_bytes = 10;
    BlockCost less = block.choices.front();
    less.seconds.backward_input += 1;
    less.held_bytes = 1;
    block.choices.push_back(less);
  }
  EXPECT_EQ(balance(problem).stages[0].choice, 0);
  // Stage 0 holds two micro-batches, stage 1 one: 4 x 30 bytes and 4 x 20 bytes.
  problem.memory.assign(2, 119);
  const Balance found = balance(problem);
  EXPECT_TRUE(found.fits);
  EXPECT_EQ(counts_of(found.partition), (std::vector<int>{3, 5}));
  EXPECT_EQ(found.stages[0].choice, 0) << "moving a block is cheaper than recomputing four";
  problem.memory = {59, 1000};
  const Balance tight = balance(problem);
  EXPECT_EQ(tight.stages[0].choice, 1);
  EXPECT_EQ(tight.stages[1].choice, 0);
  EXPECT_LE(tight.stages[0].bytes, 59);
}

TEST(Balance, RefusesFewerBlocksThanPartsAndSeveralPartsPerStage) {
  BalanceProblem problem = problem_of({1, 1, 1}, 4, 4);
  EXPECT_THROW(balance(problem), UsageError);
  problem.placement = Placement::v_shape(2);
  problem.memory.assign(2, unlimited);
  EXPECT_THROW(start_of_search(problem), UsageError);
  problem.blocks.push_back(problem.blocks.front());
  EXPECT_EQ(start_of_search(problem), even_partition(4, 4));
  EXPECT_THROW(balance(problem), Error);
}

TEST(Balance, IsQuick) {
  const auto seconds_of = [](const BalanceProblem& problem) {
    const auto start = std::chrono::steady_clock::now();
    balance(problem);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::mt19937 random(6);
  std::uniform_real_distribution<double> cost(1, 3);
  const auto draw = [&](std::size_t blocks, int stages, int micro_batches) {
    std::vector<double> seconds(blocks);
    for (double& each : seconds) each = cost(random);
    return problem_of(seconds, stages, micro_batches);
  };
  const double small = seconds_of(draw(24, 8, 32)), large = seconds_of(draw(1000, 64, 256));
  BalanceProblem ruled = draw(1000, 64, 256);
  for (BalanceBlock& block : ruled.blocks) {
    block.choices.front().held_bytes = 10;
    BlockCost less = block.choices.front();
    less.seconds.backward_input *= 1.5;
    less.held_bytes = 1;
    block.choices.push_back(less);
  }
  ruled.memory.assign(64, 4000);
  const double with_choices = seconds_of(ruled);
  RecordProperty("seconds_24_on_8", std::to_string(small));
  RecordProperty("seconds_1000_on_64", std::to_string(large));
  RecordProperty("seconds_1000_on_64_with_choices", std::to_string(with_choices));
  fmt::print("24 on 8: {:.5f} s; 1000 on 64: {:.4f} s; with choices {:.4f} s\n", small, large,
             with_choices);
#ifndef MASFORMER_SANITIZED
  // Twenty times what it takes on an idle core, or more.
  EXPECT_LT(small, 0.005);
  EXPECT_LT(large, 0.1);
  EXPECT_LT(with_choices, 0.2);
#endif
}

}  // namespace
}  // namespace masformer
