// Making a plan from options: what is derived, and what is kept.
#include "launch/plan/run_plan.h"

#include <gtest/gtest.h>

#include "launch/plan/describe.h"
#include "tests/launch/plan/small_plan.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;

AttentionSpec attention_of(const RunPlan& plan) {
  return std::get<AttentionSpec>(plan.model.blocks.front().mixer);
}
GeluMlpSpec mlp_of(const RunPlan& plan) {
  return std::get<GeluMlpSpec>(plan.model.blocks.front().mlp);
}

TEST(RunPlan, DerivesOptionsThatAreLeftOut) {
  Options options;
  options.train.sequence = 48;
  const RunPlan plan = make_run_plan(options, 2, store_vocab);
  EXPECT_EQ(plan.model.layers(), 4);
  EXPECT_EQ(spans_of(plan.model.blocks), std::vector<Span>(4));
  EXPECT_EQ(mlp_of(plan).ffn, 4 * options.model.hidden);
  EXPECT_EQ(plan.model.vocab, store_vocab);
  EXPECT_EQ(plan.model.positions, 48);
  EXPECT_EQ(plan.mesh, (Mesh{.data = 2}));
  EXPECT_EQ(plan.micro_batches, 4);
  EXPECT_EQ(plan.optimizer.min_lr, options.train.lr / 10);
  EXPECT_EQ(attention_of(plan).scale, 1);
}

TEST(RunPlan, NotesAWarmUpLongerThanTheRun) {
  const auto page = [](std::int64_t steps) {
    return describe(plan_of([&](Options& o) { o.train.warmup_steps = 40, o.train.steps = steps; }));
  };
  EXPECT_EQ(page(40).find("note"), std::string::npos);
  EXPECT_NE(
      page(10).find("train.warmup_steps=40 is more than train.steps=10: the learning rate only "
                    "rises to 0.00015, not to train.lr=0.0006"),
      std::string::npos)
      << page(10);
}

TEST(RunPlan, KeepsOptionsThatAreGiven) {
  const RunPlan plan = plan_of(
      [](Options& o) {
        o.model.ffn = 100, o.model.vocab = 400, o.model.positions = 1000, o.model.tied = false;
        o.model.attention_scale = AttentionScale::inverse_root;
        o.parallel.tensor = 2, o.parallel.pipeline = 2, o.parallel.data = 2;
        o.parallel.partition = "3,1";
        o.train.micro_batch = 2, o.train.min_lr = 0, o.train.lr = 0.5, o.train.warmup_steps = 7;
        o.train.weight_decay = 0.3, o.train.beta1 = 0.8, o.train.beta2 = 0.9;
        o.train.epsilon = 1e-5, o.train.clip = 3, o.train.steps = 77, o.train.ffn_block = 64;
      },
      8);
  EXPECT_EQ(spans_of(plan.model.blocks), parse_spans("full,window:8*2,full"));
  EXPECT_EQ(plan.model.layers(), 4);
  EXPECT_EQ(mlp_of(plan).ffn, 100);
  EXPECT_EQ(plan.model.vocab, 400);
  EXPECT_EQ(plan.model.positions, 1000);
  EXPECT_FALSE(plan.model.tied);
  EXPECT_EQ(attention_of(plan).scale, 0.25f);  // 64 over 4 heads
  EXPECT_EQ(plan.mesh, (Mesh{.pipe = 2, .data = 2, .tensor = 2}));
  EXPECT_EQ(plan.partition, (Partition{{0, 3}, {3, 4}}));
  EXPECT_EQ(plan.micro_batches, 2);
  EXPECT_EQ(plan.policy.shape.tokens(), 64);
  EXPECT_EQ(plan.policy.ffn_block, 64);
  EXPECT_EQ(plan.global_batch, 8);
  EXPECT_EQ(plan.training.micro_batches, 2);
  EXPECT_EQ(std::ssize(plan.training.actions), 2);
  const OptimizerConfig& o = plan.optimizer;
  EXPECT_EQ(
      (std::vector<double>{o.lr, o.min_lr, o.beta1, o.beta2, o.epsilon, o.weight_decay, o.clip}),
      (std::vector<double>{0.5, 0, 0.8, 0.9, 1e-5, 0.3, 3}));
  EXPECT_EQ(o.warmup_steps, 7);
  EXPECT_EQ(o.steps, 77);
}

TEST(RunPlan, GivesEachSpanItsRotaryTheta) {
  const auto thetas = [](double theta, double of_windows) {
    const RunPlan plan = plan_of([&](Options& o) {
      o.model.positions_kind = PositionsKind::rotary;
      o.model.rotary_theta = theta, o.model.rotary_theta_window = of_windows;
      o.model.spans = "window:8,full,block:4";
    });
    std::vector<double> all;
    for (const BlockSpec& block : plan.model.blocks) {
      all.push_back(std::get<AttentionSpec>(block.mixer).rotary_theta.value());
    }
    return all;
  };
  EXPECT_EQ(thetas(1e6, 1e4), (std::vector<double>{1e4, 1e6, 1e4}));
  EXPECT_EQ(thetas(1e6, 0), (std::vector<double>{1e6, 1e6, 1e6}));
  EXPECT_FALSE(attention_of(plan_of([](Options&) {})).rotary_theta);
}

TEST(RunPlan, DescribesPositions) {
  const auto page = [](PositionsKind kind, double of_windows = 0) {
    return describe(plan_of([&](Options& o) {
      o.model.positions_kind = kind, o.model.rotary_theta_window = of_windows;
    }));
  };
  const auto says = [](const std::string& text, const std::string& words) {
    return text.find("positions " + words + "\n") != std::string::npos;
  };
  EXPECT_TRUE(says(page(PositionsKind::learned), "32"));
  EXPECT_TRUE(says(page(PositionsKind::none), "none"));
  EXPECT_TRUE(says(page(PositionsKind::rotary), "rotary, theta 10000"));
  EXPECT_TRUE(
      says(page(PositionsKind::rotary, 500), "rotary, theta 10000 (500 in windows and blocks)"));
}

// Only learned positions have a table, which limits the sequence.
TEST(EvaluationPlan, LimitsTheSequenceByLearnedPositions) {
  Options longer = small_run();
  longer.train.sequence = 64;
  const auto model_of = [](PositionsKind kind) {
    return plan_of([&](Options& o) { o.model.positions_kind = kind; }).model;
  };
  EXPECT_EQ(refusal([&] { make_evaluation_plan(longer, 1, model_of(PositionsKind::learned)); }),
            "train.sequence=64 is longer than model.positions=32: lower train.sequence, since the "
            "checkpoint has no more learned positions");
  for (const PositionsKind kind : {PositionsKind::rotary, PositionsKind::none}) {
    EXPECT_EQ(make_evaluation_plan(longer, 1, model_of(kind)).policy.shape.sequence, 64);
  }
}

TEST(EvaluationPlan, FillsThePipelineWhateverTheBatchOfTraining) {
  Options options = small_run();
  options.parallel.pipeline = 2, options.train.micro_batch = 3, options.train.global_batch = 7;
  const ModelConfig model = plan_of([](Options&) {}).model;
  const RunPlan plan = make_evaluation_plan(options, 6, model);
  EXPECT_EQ(plan.mesh, (Mesh{.pipe = 2, .data = 3}));
  EXPECT_EQ(plan.micro_batches, 2);
  EXPECT_EQ(plan.global_batch, 18);
  // A wrong layout gives no message about a batch.
  options.parallel.data = 2;
  EXPECT_EQ(refusal([&] { make_evaluation_plan(options, 6, model); }),
            "parallel.tensor=1 x parallel.pipeline=2 x parallel.context=1 x parallel.data=2 does "
            "not make 6 ranks: start 4, leave parallel.data at 0, or change the layout");
}

// Only full layers of several context ranks are by heads.
TEST(RunPlan, SharesFullLayersByHeadsWhereTheRanksDivideThem) {
  const auto page = [](const char* spans, int context, std::int64_t heads) {
    return describe(plan_of(
        [&](Options& o) {
          o.model.spans = spans, o.model.heads = heads, o.parallel.context = context;
          o.parallel.context_full = ContextFull::heads;
        },
        context));
  };
  EXPECT_NE(page("full,window:8*2,full", 4, 8).find("order contiguous, full layers by heads"),
            std::string::npos);
  EXPECT_NO_THROW(page("window:8*2", 4, 2));
  EXPECT_NO_THROW(page("full*2", 1, 1));
}

TEST(RunPlan, TakesLayersFromSpansAndSpansFromLayers) {
  EXPECT_EQ(plan_of([](Options& o) { o.model.spans = "block:4*7"; }).model.layers(), 7);
  const RunPlan plan = plan_of([](Options& o) { o.model.spans = "", o.model.layers = 6; });
  EXPECT_EQ(spans_of(plan.model.blocks), std::vector<Span>(6));
}

TEST(RunPlan, NamesTheLayersOfEachStage) {
  RunPlan plan = plan_of([](Options& o) { o.parallel.pipeline = 2; }, 2);
  plan.partition = {{0, 1}, {1, 2}, {2, 5}, {5, 6}};
  plan.training.placement = Placement::v_shape(2);
  EXPECT_EQ(layers_of(plan, 0), "layer 0, layer 5");
  EXPECT_EQ(layers_of(plan, 1), "layer 1, layers 2-4");
}

}  // namespace
}  // namespace masformer
