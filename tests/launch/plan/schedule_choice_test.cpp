#include "launch/plan/schedule_choice.h"

#include <gtest/gtest.h>

#include "parallel/pipeline/action_text.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {
namespace {

TEST(PartMemory, IsOneUnitPerBlock) {
  const auto memory = part_memory({{0, 3}, {3, 4}});
  EXPECT_EQ(memory[0].until_input, 3);
  EXPECT_EQ(memory[1].until_weight, 1);
}

Options automatic_order() {
  Options options;
  options.model.spans = "full*2,window:16*6";
  options.train.global_batch = 6;
  options.parallel.pipeline = 2;
  options.parallel.schedule = "auto";
  return options;
}

RunPlan plan_of(const Options& options, const PlanInputs& inputs = {}) {
  return make_run_plan(options, 2, 256, inputs);
}

std::vector<std::string> lines_of(const Schedule& schedule) {
  std::vector<std::string> lines;
  for (const auto& actions : schedule.actions) lines.push_back(action_text(actions));
  return lines;
}

// What a checkpoint of that plan would record, had its search found 1F1B.
PlanInputs recorded_1f1b(const RunPlan& plan) {
  PlanInputs inputs;
  inputs.recorded = {.mesh = plan.mesh.to_string(),
                     .counts = counts_of(plan.partition),
                     .actions = lines_of(one_forward_one_backward(2, plan.micro_batches))};
  return inputs;
}

TEST(RecordedOrder, IsThatOfAutoAlone) {
  Options options = automatic_order();
  const RunPlan plan = plan_of(options);
  EXPECT_EQ(recorded_order(plan), lines_of(plan.training));
  options.parallel.schedule = "zero-bubble";
  EXPECT_TRUE(recorded_order(plan_of(options)).empty());
}

TEST(RecordedOrder, IsKeptUnderTheSameLayoutPartitionAndMicroBatches) {
  const RunPlan fresh = plan_of(automatic_order());
  const PlanInputs inputs = recorded_1f1b(fresh);
  ASSERT_NE(lines_of(fresh.training), inputs.recorded->actions) << "shows nothing";
  const RunPlan kept = plan_of(automatic_order(), inputs);
  EXPECT_EQ(lines_of(kept.training), inputs.recorded->actions);
  EXPECT_EQ(recorded_order(kept), inputs.recorded->actions);
}

// However little memory is free at the start.
TEST(RecordedOrder, IsKeptUnlessAnOptionForbidsItsMemory) {
  Options options = automatic_order();
  const RunPlan fresh = plan_of(options);
  PlanInputs inputs = recorded_1f1b(fresh);
  const RunPlan kept = plan_of(options, inputs);
  RunPlan again = fresh;
  order_by_costs(options, inputs, 1, again);
  EXPECT_EQ(again.training.actions, kept.training.actions);
  options.plan.memory_gib = 1;
  again = fresh;
  order_by_costs(options, inputs, 1, again);
  EXPECT_EQ(again.order_source, OrderSource::generator) << "no order fits one byte";
}

TEST(RecordedOrder, IsSearchedAgainIfItDoesNotFit) {
  const RunPlan fresh = plan_of(automatic_order());
  const auto order_with = [&](auto change) {
    PlanInputs inputs = recorded_1f1b(fresh);
    change(*inputs.recorded);
    return lines_of(plan_of(automatic_order(), inputs).training);
  };
  const auto found = lines_of(fresh.training);
  EXPECT_EQ(order_with([](auto& recorded) { recorded.mesh = "another"; }), found);
  EXPECT_EQ(order_with([](auto& recorded) { recorded.actions.pop_back(); }), found);
  EXPECT_EQ(order_with([](auto& recorded) { recorded.actions[0] += " F6"; }), found);
  EXPECT_EQ(order_with([](auto& recorded) { recorded.actions[1] = "no order"; }), found);
  Options other = automatic_order();
  other.train.global_batch = 8;
  EXPECT_EQ(plan_of(other, recorded_1f1b(fresh)).training.actions, plan_of(other).training.actions);
  other = automatic_order();
  other.parallel.partition = "1,7";
  EXPECT_EQ(plan_of(other, recorded_1f1b(fresh)).training.actions, plan_of(other).training.actions);
}

}  // namespace
}  // namespace masformer
