#include "parallel/pipeline/step_simulation.h"

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// Integers, so that sums are exact.
constexpr LayerSeconds layer{.passes = {.forward = 3, .backward_input = 4, .backward_weight = 2}};

StepCosts costs_of(int parts, int layers, const LayerSeconds& each = layer) {
  const std::vector<LayerSeconds> part(static_cast<std::size_t>(layers), each);
  return {.parts = std::vector(static_cast<std::size_t>(parts), part),
          .update = std::vector<double>(static_cast<std::size_t>(parts))};
}

TEST(StepSimulation, AddsUpdateAndNormToThePipeline) {
  for (int stages = 1; stages <= 4; ++stages) {
    for (int m = 1; m <= 5; ++m) {
      StepCosts costs = costs_of(stages, 2);
      costs.update.assign(static_cast<std::size_t>(stages), 5);
      costs.norm = 7;
      const StepSimulation step = simulate_step(one_forward_one_backward(stages, m), costs);
      EXPECT_EQ(step.seconds, 5 + (m + stages - 1) * 2 * layer.passes.total() + 7);
    }
  }
}

// The first stage is needed first, so a slow update of the second one hides behind its forward.
TEST(StepSimulation, HidesAnUpdateBehindTheFirstForward) {
  const Schedule schedule = one_forward_one_backward(2, 3);
  StepCosts costs = costs_of(2, 2);
  const double without = simulate_step(schedule, costs).seconds;
  costs.update = {0, 2 * layer.passes.forward};
  EXPECT_EQ(simulate_step(schedule, costs).seconds, without);
  costs.update = {0, 2 * layer.passes.forward + 1};
  EXPECT_EQ(simulate_step(schedule, costs).seconds, without + 1);
}

// The last layer's gradients are ready first. Each sum hides behind the next layer's backward, of 6
// seconds, but the first layer's.
TEST(StepSimulation, HidesSumsOfGradientsBehindTheBackward) {
  const Schedule schedule = one_forward_one_backward(1, 2);
  for (const double reduce : {1.0, 6.0}) {
    LayerSeconds each = layer;
    each.reduce = reduce;
    const StepSimulation step = simulate_step(schedule, costs_of(1, 3, each));
    EXPECT_EQ(step.seconds, 2 * 3 * layer.passes.total() + reduce);
  }
  LayerSeconds each = layer;
  each.reduce = 10;
  const double until_first_sum = (3 + 3) * 3 + 6 * 3 + 6;
  EXPECT_EQ(simulate_step(schedule, costs_of(1, 3, each)).seconds, until_first_sum + 3 * 10);
}

// With split backwards, sums begin with the weight gradients.
TEST(StepSimulation, SumsGradientsAfterTheWeightPass) {
  Schedule schedule = empty_schedule(Placement::round_robin(1), 1);
  schedule.actions[0] = {
      {ActionKind::forward, 0}, {ActionKind::backward_input, 0}, {ActionKind::backward_weight, 0}};
  LayerSeconds each = layer;
  each.reduce = 10;
  EXPECT_EQ(simulate_step(schedule, costs_of(1, 2, each)).seconds, 2 * 3 + 2 * 4 + 2 + 2 * 10);
}

// Weights of 3 seconds each arrive exactly when the forwards need them, but the first; slower ones
// hold up each layer.
TEST(StepSimulation, LetsFirstForwardsWaitForWeights) {
  const Schedule schedule = one_forward_one_backward(1, 2);
  const double without = simulate_step(schedule, costs_of(1, 4)).seconds;
  LayerSeconds each = layer;
  each.gather = 3;
  EXPECT_EQ(simulate_step(schedule, costs_of(1, 4, each)).seconds, without + 3);
  each.gather = 5;
  EXPECT_EQ(simulate_step(schedule, costs_of(1, 4, each)).seconds, without + 4 * 5 - 3 * 3);
}

// The second stage begins 6 seconds later, so it waits less.
TEST(StepSimulation, CountsWaitsFromWhenEachStageBegins) {
  const Schedule schedule = one_forward_one_backward(2, 1);
  StepCosts costs = costs_of(2, 2);
  const double without = simulate_step(schedule, costs).seconds;
  for (LayerSeconds& each : costs.parts[1]) each.gather = 4;
  const StepSimulation step = simulate_step(schedule, costs);
  EXPECT_EQ(step.seconds, without);
  for (LayerSeconds& each : costs.parts[1]) each.gather = 7;
  EXPECT_EQ(simulate_step(schedule, costs).seconds, without + (7 - 6) + (7 - 3));
}

TEST(StepSimulation, RefusesCostsOfOtherPartsAndStages) {
  EXPECT_THROW(simulate_step(gpipe(2, 1), costs_of(3, 1)), Error);
}

}  // namespace
}  // namespace masformer
