#include "launch/plan/step_floor.h"

#include <algorithm>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {
namespace {

class StepFloorTest : public testing::Test {
 protected:
  PassSeconds random_passes(double most) {
    std::uniform_real_distribution<double> below(0.01, most);
    return {below(random_), below(random_), below(random_)};
  }
  ModelSeconds random_model(int blocks) {
    ModelSeconds model{.embedding = random_passes(0.5), .head = random_passes(2)};
    for (int i = 0; i < blocks; ++i) model.blocks.push_back(random_passes(1));
    return model;
  }
  std::mt19937 random_{3};
};

// The parts of that many blocks each.
std::vector<PassSeconds> parts_of(const ModelSeconds& model, const std::vector<int>& counts) {
  std::vector<PassSeconds> parts;
  std::size_t block = 0;
  for (const int count : counts) {
    PassSeconds& part = parts.emplace_back();
    for (int i = 0; i < count; ++i) part += model.blocks[block++];
  }
  parts.front() += model.embedding;
  parts.back() += model.head;
  return parts;
}

// Calls `visit` with every way to share `blocks` among `parts`, at least one each.
template <class Visit>
void each_partition(std::vector<int>& counts, int parts, int blocks, const Visit& visit) {
  if (parts == 1) {
    counts.push_back(blocks);
    visit(counts);
    counts.pop_back();
    return;
  }
  for (int count = 1; count <= blocks - parts + 1; ++count) {
    counts.push_back(count);
    each_partition(counts, parts - 1, blocks - count, visit);
    counts.pop_back();
  }
}

// Over all partitions and schedules.
double shortest_step(const ModelSeconds& model, int stages, int chunks, int micro_batches) {
  double shortest = std::numeric_limits<double>::infinity();
  std::vector<int> counts;
  each_partition(counts, stages * chunks, static_cast<int>(model.blocks.size()), [&](const auto&) {
    ScheduleRequest request;
    request.stages = stages, request.chunks = chunks, request.micro_batches = micro_batches;
    request.costs.parts = parts_of(model, counts);
    request.memory_limit.assign(static_cast<std::size_t>(stages), 1e9);
    for (const ScheduleKind& kind : schedule_kinds()) {
      // `auto` takes long, and its orders are tested elsewhere to be as good as these.
      if (kind.name == "auto") continue;
      if (chunks < kind.min_chunks || chunks > kind.max_chunks) continue;
      shortest = std::min(shortest, simulate(kind.make(request), request.costs).seconds);
    }
  });
  return shortest;
}

TEST_F(StepFloorTest, IsBelowEveryPartitionAndSchedule) {
  for (int trial = 0; trial < 8; ++trial) {
    for (const int stages : {1, 2, 3}) {
      for (const int chunks : {1, 2}) {
        for (const int micro_batches : {1, 2, 5}) {
          const ModelSeconds model = random_model(stages * chunks + 1);
          const double floor = StepFloor(model).seconds(stages, chunks, micro_batches);
          const double shortest = shortest_step(model, stages, chunks, micro_batches);
          EXPECT_LE(floor, shortest * (1 + 1e-12))
              << stages << " stages, " << chunks << " chunks, " << micro_batches;
        }
      }
    }
  }
}

TEST_F(StepFloorTest, IsReachedByOneStage) {
  const ModelSeconds model = random_model(4);
  const double shortest = shortest_step(model, 1, 1, 3);
  EXPECT_NEAR(StepFloor(model).seconds(1, 1, 3), shortest, 1e-12 * shortest);
}

// One micro-batch of forwards alone can't overlap: the floor is the sum.
TEST_F(StepFloorTest, IsReachedByOneMicroBatchWithoutBackward) {
  ModelSeconds model;
  for (int i = 0; i < 6; ++i) model.blocks.push_back({1, 0, 0});
  EXPECT_NEAR(StepFloor(model).seconds(3, 1, 1), 6, 1e-12);
}

}  // namespace
}  // namespace masformer
