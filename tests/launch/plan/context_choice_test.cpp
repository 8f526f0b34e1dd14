// How context ranks share full layers, where the options leave it open.
#include "launch/plan/context_choice.h"

#include <gtest/gtest.h>

#include "launch/plan/describe.h"
#include "launch/plan/partition_choice.h"
#include "model/cost/measured_times.h"

namespace masformer {
namespace {

constexpr std::int64_t store_vocab = 300;

Options long_run(std::int64_t context, const std::string& spans = "full*2,window:64*6") {
  Options o;
  o.model.spans = spans;
  o.model.hidden = 128;
  o.model.heads = 8;
  o.train.sequence = 4096;
  o.train.global_batch = 2;
  o.parallel.context = context;
  return o;
}

RunPlan plan_of(const Options& options, const PlanInputs& inputs = {}) {
  return make_run_plan(options,
                       static_cast<int>(options.parallel.context * options.parallel.pipeline),
                       store_vocab, inputs);
}

double forecast_with(Options options, ContextFull full) {
  options.parallel.context_full = full;
  return plan_of(options).forecast.step_seconds;
}

TEST(ContextChoice, TakesTheExchangeWithTheShorterStep) {
  for (const std::int64_t context : {2, 4, 8}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::int64_t pipeline : {1, 2}) {
        Options options = long_run(context);
        options.train.dtype = dtype;
        options.parallel.pipeline = pipeline;
        const double ring = forecast_with(options, ContextFull::ring);
        const double heads = forecast_with(options, ContextFull::heads);
        const RunPlan plan = plan_of(options);
        EXPECT_NE(ring, heads);
        EXPECT_EQ(plan.policy.context_full, ring < heads ? ContextFull::ring : ContextFull::heads);
        EXPECT_EQ(plan.forecast.step_seconds, std::min(ring, heads));
      }
    }
  }
}

// By heads, the ranks need no zigzag to do the same work, and eight send fewer bytes.
TEST(ContextChoice, SharesByHeadsAmongManyRanks) {
  const RunPlan plan = plan_of(long_run(8, "full*8"));
  EXPECT_EQ(plan.policy.context_full, ContextFull::heads);
  EXPECT_NE(describe(plan).find("order contiguous, full layers by heads"), std::string::npos)
      << describe(plan);
}

TEST(ContextChoice, IsTheRingWhereHeadsAreImpossibleOrTheSame) {
  const auto chosen = [](const Options& options) { return plan_of(options).policy.context_full; };
  Options indivisible = long_run(8, "full*8");
  indivisible.model.heads = 4;
  EXPECT_EQ(chosen(indivisible), ContextFull::ring);
  EXPECT_EQ(chosen(long_run(8, "window:64*8")), ContextFull::ring);
  EXPECT_EQ(chosen(long_run(1, "full*8")), ContextFull::ring);
}

TEST(ContextChoice, KeepsWhatIsSetOrRecorded) {
  Options options = long_run(8, "full*8");
  const RunPlan fresh = plan_of(options);
  PlanInputs inputs;
  inputs.recorded = {.mesh = fresh.mesh.to_string(), .counts = {8}, .context_full = "ring"};
  inputs.recorded->context_order = "zigzag";
  const RunPlan kept = plan_of(options, inputs);
  EXPECT_EQ(kept.policy.context_full, ContextFull::ring);
  const std::string reasons = describe_choices(kept, options);
  EXPECT_NE(reasons.find("auto: the order as before; full layers by ring, as before"),
            std::string::npos)
      << reasons;
  inputs.recorded->context_order = "";
  inputs.recorded->context_full = "";
  EXPECT_EQ(plan_of(options, inputs).policy.context_full, fresh.policy.context_full);
  inputs.recorded->context_full = "ring";
  inputs.recorded->mesh = "context 4";
  EXPECT_EQ(plan_of(options, inputs).policy.context_full, fresh.policy.context_full);
  inputs.recorded->mesh = fresh.mesh.to_string();
  options.parallel.context_full = ContextFull::heads;
  EXPECT_EQ(plan_of(options, inputs).policy.context_full, ContextFull::heads);
}

// Times of layers are measured with one exchange.
TEST(ContextChoice, DoesNotDependOnMeasuredTimes) {
  const Options options = long_run(8, "full*8");
  std::map<std::string, KindSeconds> seconds;
  const StageSpec stage = plan_of(options).describe_stage({});
  for (const auto& layer : stage.layers) seconds[layer->kind()] = {{"forward", 1}};
  const MeasuredTimes times(seconds);
  EXPECT_EQ(plan_of(options, {.times = &times}).policy.context_full, ContextFull::heads);
}

// Where the faster exchange needs more than there is, the other one is taken.
TEST(ContextChoice, PrefersWhatFitsTheMemory) {
  Options options = long_run(8, "full*8");
  options.train.recompute = "none";
  const auto bytes = [&](ContextFull full) {
    options.parallel.context_full = full;
    return largest_memory(plan_of(options), 0, Purpose::training).total();
  };
  const std::int64_t ring = bytes(ContextFull::ring), heads = bytes(ContextFull::heads);
  ASSERT_LT(ring, heads);
  options.parallel.context_full.reset();
  const std::int64_t between = (ring + heads) / 2;
  EXPECT_EQ(plan_of(options, {.rank_memory = between}).policy.context_full, ContextFull::ring);
  options.plan.memory_gib = static_cast<double>(between) / (1 << 30);
  EXPECT_EQ(plan_of(options).policy.context_full, ContextFull::ring);
  options.plan.memory_gib = static_cast<double>(heads + 1) / (1 << 30);
  EXPECT_EQ(plan_of(options).policy.context_full, ContextFull::heads);
}

TEST(ContextChoice, OfAnEvaluationIsTheRing) {
  Options options = long_run(8, "full*8");
  const ModelConfig model = plan_of(options).model;
  EXPECT_EQ(make_evaluation_plan(options, 8, model).policy.context_full, ContextFull::ring);
}

}  // namespace
}  // namespace masformer
