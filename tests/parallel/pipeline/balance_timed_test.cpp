// Timing schedules for a search, and partitions for schedules whose step no formula gives.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "parallel/pipeline/balance.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "parallel/pipeline/simulation.h"
#include "tests/parallel/pipeline/scaled_problem.h"

namespace masformer {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

struct Shape {
  const char* schedule;
  int stages, chunks, micro_batches;
};

Schedule schedule_of(const Shape& shape, int micro_batches) {
  return make_schedule(shape.schedule, {.stages = shape.stages,
                                        .micro_batches = micro_batches,
                                        .chunks = shape.chunks,
                                        .costs = {},
                                        .memory = {},
                                        .memory_limit = {}});
}

StepTimer timer_of(const Shape& shape, const HandOffSeconds& hand_off = {}) {
  return {[&](int micro_batches) { return schedule_of(shape, micro_batches); }, shape.stages,
          shape.micro_batches, hand_off};
}

class RandomCosts {
 public:
  explicit RandomCosts(unsigned seed) : random_(seed) {}

  PassSeconds next() { return {draw() * draw(), draw() * draw() * 1.3, draw() < 1.2 ? 0 : draw()}; }

 private:
  double draw() { return std::uniform_real_distribution<double>(1, 2)(random_); }

  std::mt19937 random_;
};

const std::vector<Shape> shapes{
    {"gpipe", 3, 1, 5},       {"1f1b", 4, 1, 8},           {"zero-bubble", 2, 1, 4},
    {"zero-bubble", 4, 1, 9}, {"interleaved", 2, 2, 4},    {"interleaved", 3, 3, 7},
    {"interleaved", 4, 2, 2}, {"zero-bubble-v", 2, 2, 6},  {"zero-bubble-v", 3, 2, 12},
    {"zero-bubble", 3, 1, 1}, {"zero-bubble-v", 4, 2, 16}, {"interleaved", 2, 4, 8}};

TEST(ScheduleTimer, TakesAsLongAsTheSimulation) {
  RandomCosts costs(1);
  for (const Shape& shape : shapes) {
    for (const HandOffSeconds& hand_off : {HandOffSeconds{}, HandOffSeconds{0.3, 0.1}}) {
      const Schedule schedule = schedule_of(shape, shape.micro_batches);
      const ScheduleTimer timer(schedule, hand_off);
      PipelineCosts pipeline;
      for (int i = 0; i < schedule.placement.parts(); ++i) pipeline.parts.push_back(costs.next());
      pipeline.link.latency = hand_off.message;
      pipeline.hand_over_seconds = hand_off.local;
      const double simulated = simulate(schedule, pipeline).seconds;
      EXPECT_NEAR(timer.seconds(pipeline.parts), simulated, 1e-9 * simulated) << shape.schedule;
    }
  }
}

TEST(StepTimer, KnowsAStepOfManyMicroBatches) {
  RandomCosts costs(2);
  for (Shape shape : shapes) {
    shape.micro_batches = 16 * shape.stages + 1;
    const Schedule schedule = schedule_of(shape, shape.micro_batches);
    std::vector<PassSeconds> parts;
    for (int i = 0; i < schedule.placement.parts(); ++i) parts.push_back(costs.next());
    const double exact = ScheduleTimer(schedule, {0.1, 0.05}).seconds(parts);
    EXPECT_NEAR(timer_of(shape, {0.1, 0.05}).seconds(parts), exact, 0.025 * exact)
        << shape.schedule << " on " << shape.stages;
  }
}

// One micro-batch after the other: each takes 5 seconds, of which a stage computes 3 at most.
Schedule one_at_a_time(int micro_batches) {
  Schedule schedule = empty_schedule(Placement::round_robin(2), micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) {
      actions.push_back({ActionKind::forward, i, 0});
      actions.push_back({ActionKind::backward, i, 0});
    }
  }
  return schedule;
}

// Even if a schedule of few micro-batches takes almost as long as one of more.
TEST(StepTimer, AddsAtLeastWhatTheSlowestStageComputes) {
  const auto make = [](int micro_batches) {
    return micro_batches == 4 ? one_at_a_time(4) : one_forward_one_backward(2, micro_batches);
  };
  const std::vector<PassSeconds> parts{{1, 2, 0}, {1, 1, 0}};
  const double before = StepTimer(make, 2, 8, {}).seconds(parts);
  EXPECT_DOUBLE_EQ(StepTimer(make, 2, 108, {}).seconds(parts), before + 100 * 3);
}

// Blocks that differ by up to four times, an embedding and a head.
BalanceProblem problem_of(const Shape& shape, int blocks, RandomCosts& costs) {
  const Schedule schedule = schedule_of(shape, shape.micro_batches);
  BalanceProblem problem{.placement = schedule.placement, .micro_batches = shape.micro_batches};
  for (int i = 0; i < blocks; ++i) {
    problem.blocks.push_back({10, {{.seconds = costs.next(), .held_bytes = 1}}});
  }
  problem.embedding.cost.seconds = {0.2, 0, 0.3};
  problem.head.cost.seconds = costs.next();
  for (const HeldMicroBatches& part : held_micro_batches(schedule)) {
    problem.held.push_back(part.until_weight);
  }
  problem.memory.assign(static_cast<std::size_t>(shape.stages), unlimited);
  return problem;
}

Balance balance_by(const StepTimer& timer, const BalanceProblem& problem,
                   std::size_t work = thorough_search) {
  return balance(problem, timer, start_of_search(problem), work);
}

// Infinity if none fits.
double best_by_force(const BalanceProblem& problem, const StepTimer& timer) {
  double best = std::numeric_limits<double>::infinity();
  const auto blocks = static_cast<int>(problem.blocks.size());
  Partition partition = first_partition(blocks, problem.placement.parts());
  do {
    const Balance load = load_of(problem, partition, timer);
    if (load.fits) best = std::min(best, load.step_seconds);
  } while (next_partition(partition));
  return best;
}

class Excess {
 public:
  // `excess`: by what share a partition's step is longer than the best.
  void count(double excess) {
    worst_ = std::max(worst_, excess);
    sum_ += excess;
    ++count_;
  }
  double worst() const { return worst_; }
  double mean() const { return sum_ / count_; }
  std::string text() const {
    return fmt::format("over the best: mean {:.5f}, worst {:.5f} of {}", mean(), worst(), count_);
  }

 private:
  double worst_ = 0, sum_ = 0;
  int count_ = 0;
};

// With 22 blocks on 8 parts, there are 116,280 partitions.
TEST(BalanceBySchedule, IsTheBestOfManyAndABriefSearchIsCloseToIt) {
  RandomCosts costs(3);
  Excess briefly;
  for (const Shape& shape : {Shape{"zero-bubble", 3, 1, 6}, Shape{"zero-bubble", 8, 1, 16},
                             Shape{"interleaved", 2, 2, 4}, Shape{"interleaved", 3, 2, 6},
                             Shape{"interleaved", 4, 2, 8}, Shape{"interleaved", 2, 4, 8},
                             Shape{"zero-bubble-v", 2, 2, 8}, Shape{"zero-bubble-v", 4, 2, 8}}) {
    const StepTimer timer = timer_of(shape);
    for (const int blocks : {9, 16, 22}) {
      if (blocks < shape.stages * shape.chunks) continue;
      for (int i = blocks / 16; i < 2; ++i) {
        const BalanceProblem problem = problem_of(shape, blocks, costs);
        const double best = best_by_force(problem, timer);
        const Balance found = balance_by(timer, problem);
        EXPECT_LE(found.step_seconds, best * (1 + 1e-9))
            << shape.schedule << ", " << blocks << " blocks on " << shape.stages;
        briefly.count(balance_by(timer, problem, brief_search).step_seconds / best - 1);
      }
    }
  }
  fmt::print("brief search, {}\n", briefly.text());
  EXPECT_LT(briefly.mean(), 0.005);
  EXPECT_LT(briefly.worst(), 0.03);
}

TEST(BalanceBySchedule, IsCloseToTheBestByMovesAlone) {
  RandomCosts costs(4);
  Excess by_moves;
  for (const Shape& shape : {Shape{"zero-bubble", 8, 1, 16}, Shape{"interleaved", 4, 2, 8},
                             Shape{"zero-bubble-v", 4, 2, 8}, Shape{"interleaved", 2, 4, 8}}) {
    const StepTimer timer = timer_of(shape);
    for (int i = 0; i < 4; ++i) {
      const BalanceProblem problem = problem_of(shape, 18, costs);
      const double best = best_by_force(problem, timer);
      const std::size_t work = 8 * 19'448;  // too little to look at all twice
      by_moves.count(balance_by(timer, problem, work).step_seconds / best - 1);
    }
  }
  fmt::print("by moves, {}\n", by_moves.text());
  EXPECT_LT(by_moves.mean(), 0.005);
  EXPECT_LT(by_moves.worst(), 0.03);
}

// 120 micro-batches on 4 stages: the time of a step is carried on from schedules of 16 and 8.
TEST(BalanceBySchedule, IsTheBestOfStepsOfManyMicroBatches) {
  RandomCosts costs(8);
  for (const Shape& shape : {Shape{"gpipe", 4, 1, 120}, Shape{"zero-bubble", 4, 1, 120},
                             Shape{"zero-bubble-v", 4, 2, 120}, Shape{"interleaved", 4, 2, 120}}) {
    const StepTimer timer = timer_of(shape);
    const BalanceProblem problem = problem_of(shape, 15, costs);
    EXPECT_LE(balance_by(timer, problem).step_seconds, best_by_force(problem, timer) * (1 + 1e-9))
        << shape.schedule;
  }
}

// 116,280 partitions, of which hardly any fits: neither the even one nor the one that the search
// starts from. With two kinds of recomputation.
TEST(BalanceBySchedule, FindsAPartitionThatFitsAmongManyThatDoNot) {
  RandomCosts costs(9);
  std::mt19937 random(9);
  int hard = 0;
  for (const Shape& shape : {Shape{"zero-bubble-v", 4, 2, 16}, Shape{"interleaved", 4, 2, 8}}) {
    const StepTimer timer = timer_of(shape);
    for (int i = 0; i < 12; ++i) {
      BalanceProblem problem = problem_of(shape, 22, costs);
      for (BalanceBlock& block : problem.blocks) {
        block.fixed_bytes = 10 + static_cast<int>(random() % 90);
        block.choices.push_back(block.choices.front());
        block.choices.back().seconds.backward_input *= 1.5;
        block.choices.back().held_bytes = 0;
      }
      // What some partition needs, not a byte more.
      Partition fitting = even_partition(22, 8);
      for (int moves = 0; moves < 20; ++moves) {
        const std::size_t boundary = random() % 7;
        LayerRange &left = fitting[boundary], &right = fitting[boundary + 1];
        const int by = random() % 2 == 0 ? 1 : -1;
        if (left.size() + by < 1 || right.size() - by < 1) continue;
        left.end += by;
        right.begin += by;
      }
      const Balance load = load_of(problem, fitting, timer);
      for (std::size_t stage = 0; stage < 4; ++stage) {
        problem.memory[stage] = load.stages[stage].bytes;
      }
      const bool is_hard = !load_of(problem, even_partition(22, 8)).fits &&
                           !load_of(problem, start_of_search(problem)).fits;
      if (is_hard) ++hard;
      const Balance found = balance_by(timer, problem);
      EXPECT_TRUE(found.fits) << shape.schedule;
      EXPECT_LE(found.step_seconds, load.step_seconds * (1 + 1e-9)) << shape.schedule;
    }
  }
  EXPECT_GE(hard, 12);
}

TEST(BalanceBySchedule, TakesBlocksThatCostNothing) {
  const Shape shape{"zero-bubble", 4, 1, 8};
  RandomCosts costs(10);
  BalanceProblem problem = problem_of(shape, 10, costs);
  for (BalanceBlock& block : problem.blocks) block.choices.front().seconds = {};
  problem.embedding.cost.seconds = problem.head.cost.seconds = {};
  const Balance found = balance_by(timer_of(shape), problem);
  EXPECT_EQ(found.step_seconds, 0);
  EXPECT_EQ(std::ranges::max(counts_of(found.partition)), 3) << "the more even memory";
}

// From far too little memory to plenty, with two kinds of recomputation.
TEST(BalanceBySchedule, FitsTheMemoryWheneverAPartitionDoes) {
  RandomCosts costs(5);
  std::mt19937 random(5);
  int fitting = 0, not_fitting = 0;
  for (const Shape& shape : {Shape{"interleaved", 2, 2, 4}, Shape{"zero-bubble-v", 3, 2, 6},
                             Shape{"zero-bubble", 4, 1, 6}}) {
    const StepTimer timer = timer_of(shape);
    for (int i = 0; i < 40; ++i) {
      BalanceProblem problem = problem_of(shape, 12, costs);
      for (BalanceBlock& block : problem.blocks) {
        BlockCost& most = block.choices.front();
        most.held_bytes = 10 + static_cast<int>(random() % 10);
        BlockCost less = most;
        less.seconds.backward_input += most.seconds.forward;
        less.held_bytes = 2;
        block.choices.push_back(less);
      }
      for (std::int64_t& bytes : problem.memory) bytes = 30 + static_cast<int>(random() % 150);
      const double best = best_by_force(problem, timer);
      const Balance found = balance_by(timer, problem);
      EXPECT_EQ(found.fits, std::isfinite(best));
      EXPECT_TRUE(!found.fits || found.step_seconds <= best * (1 + 1e-9));
      ++(found.fits ? fitting : not_fitting);
    }
  }
  EXPECT_GT(fitting, 30);
  EXPECT_GT(not_fitting, 10);
}

// All blocks are equal, so many partitions take as long, apart from rounding.
TEST(BalanceBySchedule, EqualStepsTakeTheMoreEvenMemory) {
  const Shape shape{"zero-bubble", 4, 1, 8};
  BalanceProblem problem{.placement = Placement::round_robin(4), .micro_batches = 8};
  for (int i = 0; i < 10; ++i) problem.blocks.push_back({10, {{.seconds = {0.1, 0.1, 0.1}}}});
  problem.held.assign(4, 4);
  problem.memory.assign(4, unlimited);
  for (const auto& [embedding, head] : {std::pair(5, 0), {0, 5}}) {
    problem.embedding.fixed_bytes = embedding;
    problem.head.fixed_bytes = head;
    const StepTimer timer = timer_of(shape);
    double best = std::numeric_limits<double>::infinity();
    std::int64_t least_bytes = unlimited;
    Partition partition = first_partition(10, 4);
    do {
      const Balance load = load_of(problem, partition, timer);
      const std::int64_t bytes = std::ranges::max(load.stages, {}, &StageLoad::bytes).bytes;
      if (clearly_less(load.step_seconds, best)) {
        best = load.step_seconds;
        least_bytes = bytes;
      } else if (!clearly_less(best, load.step_seconds)) {
        least_bytes = std::min(least_bytes, bytes);
      }
    } while (next_partition(partition));
    const Balance found = balance_by(timer, problem);
    EXPECT_FALSE(clearly_less(best, found.step_seconds));
    EXPECT_EQ(std::ranges::max(found.stages, {}, &StageLoad::bytes).bytes, least_bytes);
  }
}

TEST(BalanceBySchedule, CountsTheEndsWhereTheyAre) {
  const Shape shape{"zero-bubble-v", 2, 2, 8};
  RandomCosts costs(6);
  BalanceProblem problem = problem_of(shape, 12, costs);
  for (BalanceBlock& block : problem.blocks) block.choices.front().seconds = {1, 1, 1};
  problem.embedding.cost.seconds = {2, 0, 2};
  problem.head.cost.seconds = {2, 2, 0};
  // Both ends are on stage 0, and cost as much as almost three blocks.
  const Balance found = balance_by(timer_of(shape), problem);
  EXPECT_EQ(found.partition[0].size() + found.partition[3].size(), 5);
}

TEST(BalanceBySchedule, DoesNotDependOnTheUnitOfTime) {
  RandomCosts costs(7);
  for (const Shape& shape : {Shape{"interleaved", 3, 2, 6}, Shape{"zero-bubble", 4, 1, 8}}) {
    for (int i = 0; i < 10; ++i) {
      const BalanceProblem problem = problem_of(shape, 20, costs);
      const Balance before = balance_by(timer_of(shape), problem);
      for (const double factor : {1e-6, 1.0 / 3, 7.0, 3e8}) {
        EXPECT_EQ(balance_by(timer_of(shape), test::scaled_problem(problem, factor)).partition,
                  before.partition)
            << factor;
      }
    }
  }
}

TEST(BalanceBySchedule, IsNeverWorseThanEvenAndStaysWithinTheMemory) {
  RandomCosts costs(4);
  for (const Shape& shape : {Shape{"zero-bubble", 4, 1, 16}, Shape{"zero-bubble-v", 4, 2, 8},
                             Shape{"interleaved", 4, 3, 12}}) {
    const StepTimer timer = timer_of(shape);
    BalanceProblem problem = problem_of(shape, 30, costs);
    const Partition even = even_partition(30, problem.placement.parts());
    const Balance load = load_of(problem, even, timer);
    EXPECT_LE(balance_by(timer, problem).step_seconds, load.step_seconds * (1 + 1e-9));
    // Now the stages have only the memory that even parts need.
    for (std::size_t stage = 0; stage < problem.memory.size(); ++stage) {
      problem.memory[stage] = load.stages[stage].bytes;
    }
    const Balance tight = balance_by(timer, problem);
    EXPECT_TRUE(tight.fits);
    EXPECT_LE(tight.step_seconds, load.step_seconds * (1 + 1e-9));
  }
}

}  // namespace
}  // namespace masformer
