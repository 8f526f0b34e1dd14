#include "model/cost/model_costs.h"

#include <gtest/gtest.h>

#include "model/memory/stage_memory.h"
#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/schedules/schedules.h"

namespace masformer {
namespace {

ModelConfig mixed_model() {
  return {
      .hidden = 64,
      .vocab = 1000,
      .positions = 256,
      .blocks = blocks_of_spans(parse_spans("full*3,window:32*9"), {.heads = 4}, GeluMlpSpec{256})};
}

std::vector<std::vector<Recompute>> all_choices(int layers) {
  std::vector<std::vector<Recompute>> choices;
  for (const auto& [policy, name] : enum_names<Recompute>) {
    choices.emplace_back(static_cast<std::size_t>(layers), policy);
  }
  return choices;
}

std::vector<int> held_to_weight(const Schedule& schedule) {
  std::vector<int> held;
  for (const HeldMicroBatches& part : held_micro_batches(schedule)) {
    held.push_back(part.until_weight);
  }
  return held;
}

BalanceProblem problem_of(const ModelConfig& config, const Mesh& mesh, const Schedule& schedule,
                          const StagePolicy& policy) {
  const EstimatedTimes times(figures_of(policy.device));
  ModelCosts costs =
      model_costs(config, mesh, schedule.placement, policy, all_choices(config.layers()), times);
  return {.blocks = std::move(costs.blocks),
          .embedding = costs.embedding,
          .head = costs.head,
          .placement = schedule.placement,
          .micro_batches = schedule.micro_batches,
          .held = held_to_weight(schedule),
          .memory = std::vector<std::int64_t>(static_cast<std::size_t>(mesh.pipe), 1)};
}

TEST(ModelCosts, AreEqualForEqualBlocksAndLargerForFullOnes) {
  const ModelConfig config = mixed_model();
  const ModelCosts costs =
      model_costs(config, {.pipe = 2}, Placement::round_robin(2), {.shape = {1, 256}},
                  all_choices(config.layers()), EstimatedTimes(figures_of(Device::cpu)));
  ASSERT_EQ(costs.blocks.size(), 12u);
  for (std::size_t block = 0; block < 12; ++block) {
    const BalanceBlock& same = costs.blocks[block < 3 ? 0 : 11];
    EXPECT_EQ(costs.blocks[block].choices.front().seconds, same.choices.front().seconds);
    EXPECT_EQ(costs.blocks[block].fixed_bytes, same.fixed_bytes);
  }
  EXPECT_GT(costs.blocks[0].choices[0].seconds.total(), costs.blocks[3].choices[0].seconds.total());
  // Less memory for more time.
  for (std::size_t choice = 1; choice < 3; ++choice) {
    const auto& choices = costs.blocks[0].choices;
    EXPECT_GT(choices[choice].seconds.total(), choices[choice - 1].seconds.total());
    EXPECT_LT(choices[choice].held_bytes, choices[choice - 1].held_bytes);
  }
}

// A stage's time is the sum over its layers, and nothing else.
TEST(ModelCosts, SumToTheTimeOfTheStages) {
  const ModelConfig config = mixed_model();
  const Mesh mesh{.pipe = 3, .tensor = 2};
  StagePolicy policy{.shape = {2, 256}};
  const Schedule schedule = one_forward_one_backward(3, 4);
  const Partition partition = even_partition(config.layers(), 3);
  BalanceProblem problem = problem_of(config, mesh, schedule, policy);
  problem.memory.assign(3, std::int64_t{1} << 40);
  const Balance balance = load_of(problem, partition);
  const EstimatedTimes times(figures_of(Device::cpu));
  for (int pipe = 0; pipe < 3; ++pipe) {
    const StageSpec stage(config, mesh, {.pipe = pipe, .tensor = 1}, partition, policy);
    PassSeconds sum;
    for (int layer = 0; layer < stage.program.layers(); ++layer) sum += times.of(stage, layer);
    EXPECT_NEAR(balance.stages[static_cast<std::size_t>(pipe)].seconds / sum.total(), 1, 1e-12);
  }
}

// What belongs to blocks is what plan_memory() finds, within a few percent. Messages and the batch
// belong to none.
TEST(ModelCosts, MemoryIsCloseToTheExactPlan) {
  const ModelConfig config = mixed_model();
  for (const Mesh& mesh :
       {Mesh{.pipe = 4}, Mesh{.pipe = 2, .data = 2, .tensor = 2}, Mesh{.pipe = 2, .context = 2}}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Schedule training = one_forward_one_backward(mesh.pipe, 8);
      const Schedule evaluation = forward_only(training.placement, 8);
      const Partition partition = even_partition(config.layers(), mesh.pipe);
      StagePolicy policy{.shape = {4, 256}, .dtype = dtype};
      const BalanceProblem problem = problem_of(config, mesh, training, policy);
      for (std::size_t choice = 0; choice < 3; ++choice) {
        BalanceProblem one = problem;
        for (BalanceBlock& block : one.blocks) block.choices = {block.choices[choice]};
        const Balance linear = load_of(one, partition);
        policy.recompute = all_choices(config.layers())[choice];
        for (int pipe = 0; pipe < mesh.pipe; ++pipe) {
          const StageSpec stage(config, mesh,
                                {pipe, mesh.data - 1, mesh.context - 1, mesh.tensor - 1}, partition,
                                policy);
          const StagePlan plan = plan_stage(stage, Purpose::training, training, evaluation);
          const MemoryTable memory = plan_memory(stage, plan);
          const auto exact = static_cast<double>(memory.weights + memory.gradients +
                                                 memory.optimizer + memory.activations);
          EXPECT_NEAR(
              static_cast<double>(linear.stages[static_cast<std::size_t>(pipe)].bytes) / exact, 1,
              0.15)
              << mesh.to_string() << " stage " << pipe << " choice " << choice;
        }
      }
    }
  }
}

}  // namespace
}  // namespace masformer
