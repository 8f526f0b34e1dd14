// Timing schedules for a search, and partitions for schedules whose step no formula gives.
#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "parallel/pipeline/balance.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "parallel/pipeline/simulation.h"

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
  return balance(problem, timer, balance(problem).partition, work);
}

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

TEST(BalanceBySchedule, IsTheBestIfAllAreTriedAndCloseToItByMoves) {
  RandomCosts costs(3);
  double worst = 0, sum = 0;
  int count = 0;
  for (const Shape& shape : {Shape{"zero-bubble", 3, 1, 6}, Shape{"interleaved", 2, 2, 4},
                             Shape{"zero-bubble-v", 2, 2, 8}, Shape{"interleaved", 3, 2, 6},
                             Shape{"zero-bubble-v", 3, 2, 12}, Shape{"interleaved", 2, 4, 8}}) {
    const StepTimer timer = timer_of(shape);
    for (const int blocks : {9, 12, 18}) {
      if (blocks < shape.stages * shape.chunks) continue;
      for (int i = 0; i < 4; ++i) {
        const BalanceProblem problem = problem_of(shape, blocks, costs);
        const double best = best_by_force(problem, timer);
        const Balance found = balance_by(timer, problem);
        const double excess = found.step_seconds / best - 1;
        EXPECT_LE(excess, 1e-9) << shape.schedule << ", " << blocks << " blocks on "
                                << shape.stages;
        EXPECT_EQ(found.step_seconds, load_of(problem, found.partition, timer).step_seconds);
        // Too little work to try all: these are found by moves.
        const std::size_t trials = 400, of_a_trial = timer.actions() + problem.blocks.size();
        const double by_moves =
            balance_by(timer, problem, trials * of_a_trial).step_seconds / best - 1;
        if (count_partitions(blocks, problem.placement.parts(), 1e9) < trials) continue;
        worst = std::max(worst, by_moves), sum += by_moves, ++count;
      }
    }
  }
  fmt::print("moves, over the best: mean {:.5f}, worst {:.5f} of {}\n", sum / count, worst, count);
  EXPECT_GT(count, 20);
  EXPECT_LT(sum / count, 0.005);
  EXPECT_LT(worst, 0.03);
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
