// How much memory the ranks of a plan take.
#include <gtest/gtest.h>

#include "launch/plan/run_plan.h"
#include "model/cost/flops.h"
#include "tests/launch/plan/small_plan.h"

namespace masformer {
namespace {

using namespace test;

struct Planned {
  int pipe, data, tensor;
  bool tied;
  const char* schedule = "1f1b";
};

class PlannedMemory : public testing::TestWithParam<Planned> {};

// The widths make every part fill whole cache lines, so that the sum contains no rounding.
TEST_P(PlannedMemory, WeightsAreTheModelAndItsKnownCopies) {
  const auto [pipe, data, tensor, tied, schedule] = GetParam();
  const RunPlan plan = plan_of(
      [&, p = GetParam()](Options& o) {
        o.parallel.pipeline = p.pipe, o.parallel.tensor = p.tensor;
        o.parallel.schedule = p.schedule, o.model.tied = p.tied;
      },
      pipe * data * tensor);
  MemoryTable sum;
  for (int rank = 0; rank < plan.mesh.size(); ++rank) {
    const Coordinate at = plan.mesh.coordinate(rank);
    const StageSpec stage = plan.describe_stage(at);
    const MemoryTable memory = plan_memory(stage, plan.plan_stage(stage, Purpose::training));
    EXPECT_EQ(memory.gradients, memory.weights);
    // ZeRO-1: one data rank holds the moments of a row. The norm and the clip factor are added.
    constexpr std::int64_t number = Arena::alignment;
    EXPECT_EQ(memory.optimizer, 2 * memory.weights / plan.mesh.data + 2 * number);
    EXPECT_GT(memory.activations, 0);
    const MemoryTable bare = plan_memory(stage, plan.plan_stage(stage, Purpose::evaluation));
    EXPECT_EQ(bare.weights, memory.weights);
    EXPECT_EQ(bare.gradients + bare.optimizer, 0);
    EXPECT_LT(bare.activations, memory.activations);
    sum.weights += memory.weights;
    sum.batch += memory.batch - number;  // the loss
  }
  const ModelConfig& m = plan.model;
  const std::int64_t padded = padded_vocab(m.vocab, tensor);
  // Two norms and two biases a block, the positions and the last norm are on every tensor rank.
  const std::int64_t replicated = m.layers() * 6 * m.hidden + m.positions * m.hidden + 2 * m.hidden;
  std::int64_t numbers = parameter_count(m) + (tensor - 1) * replicated;
  numbers += (tied ? 1 : 2) * (padded - m.vocab) * m.hidden;
  if (tied && pipe > 1) numbers += padded * m.hidden;  // the last stage's copy
  EXPECT_EQ(sum.weights, data * numbers * 4);
  // All ranks of a stage hold the same amount: 1/tensor of the split parameters, and all of the
  // others.
  for (int rank = 0; rank < plan.mesh.size(); ++rank) {
    Coordinate at = plan.mesh.coordinate(rank);
    const auto weights = [&] {
      return lay_out_parameters(plan.describe_stage(at).parameters, DType::f32, Purpose::training)
          .memory.values;
    };
    const std::int64_t own = weights();
    at.tensor = 0, at.data = 0;
    EXPECT_EQ(own, weights()) << rank;
  }
  // Tokens, labels and positions of the whole batch, on each stage and tensor rank.
  EXPECT_EQ(sum.batch, 3 * 4 * plan.global_batch * 32 * pipe * tensor);
}

INSTANTIATE_TEST_SUITE_P(Layouts, PlannedMemory,
                         testing::Values(Planned{1, 1, 1, true}, Planned{1, 1, 1, false},
                                         Planned{2, 1, 1, true}, Planned{4, 1, 1, false},
                                         Planned{1, 4, 1, true}, Planned{1, 1, 2, true},
                                         Planned{1, 2, 4, false}, Planned{2, 1, 2, true, "gpipe"},
                                         Planned{2, 2, 2, true}, Planned{4, 2, 4, true, "gpipe"}));

}  // namespace
}  // namespace masformer
