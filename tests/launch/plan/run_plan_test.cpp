// Making a plan from options: what is refused, what is derived, and how much memory the ranks plan.
#include "launch/plan/run_plan.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "launch/plan/describe.h"
#include "model/cost/flops.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;
using Change = std::function<void(Options&)>;

constexpr std::int64_t store_vocab = 300;

Options small_run() {
  Options o;
  o.model.spans = "full,window:8*2,full";
  o.model.hidden = 64;
  o.train.sequence = 32;
  return o;
}

RunPlan plan_of(const Change& change, int ranks = 1) {
  Options options = small_run();
  change(options);
  return make_run_plan(options, ranks, store_vocab);
}

AttentionSpec attention_of(const RunPlan& plan) {
  return std::get<AttentionSpec>(plan.model.blocks.front().mixer);
}
GeluMlpSpec mlp_of(const RunPlan& plan) {
  return std::get<GeluMlpSpec>(plan.model.blocks.front().mlp);
}

struct Refused {
  Change change;
  int ranks;
  std::vector<std::string> messages;  // each violation complete, in any order
};

void expect_refusal(const Refused& refused) {
  auto said = lines_of(refusal([&] { plan_of(refused.change, refused.ranks); }));
  auto expected = refused.messages;
  std::ranges::sort(said);
  std::ranges::sort(expected);
  EXPECT_EQ(said, expected);
}

TEST(RunPlan, RefusesALayoutOfAnotherNumberOfRanks) {
  const std::vector<Refused> all{
      {[](Options& o) { o.parallel.tensor = 2; },
       3,
       {"parallel.tensor=2 x parallel.pipeline=1 x parallel.context=1 does not make 3 ranks: start "
        "a multiple of 2, or change the layout"}},
      {[](Options& o) { o.parallel.tensor = 4; },
       2,
       {"parallel.tensor=4 x parallel.pipeline=1 x parallel.context=1 does not make 2 ranks: start "
        "a multiple of 4, or change the layout"}},
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.data = 3; },
       4,
       {"parallel.tensor=1 x parallel.pipeline=2 x parallel.context=1 x parallel.data=3 does not "
        "make 4 ranks: start 6, leave parallel.data at 0, or change the layout",
        "train.global_batch=8 is not a multiple of train.micro_batch=1 x parallel.data=3: use "
        "train.global_batch=9, or change the others"}},
      {[](Options& o) { o.parallel.data = 3, o.train.global_batch = 6; },
       6,
       {"parallel.tensor=1 x parallel.pipeline=1 x parallel.context=1 x parallel.data=3 does not "
        "make 6 ranks: start 3, leave parallel.data at 0, or change the layout"}},
      {[](Options& o) { o.parallel.tensor = 2, o.parallel.data = 2; },
       3,
       {"parallel.tensor=2 x parallel.pipeline=1 x parallel.context=1 x parallel.data=2 does not "
        "make 3 ranks: start 4, or change the layout"}},
      {[](Options& o) { o.parallel.context = 2, o.train.sequence = 31; },
       2,
       {"train.sequence=31 can't be divided among parallel.context=2 ranks: use train.sequence=32 "
        "or 30"}}};
  for (const Refused& refused : all) expect_refusal(refused);
}

TEST(RunPlan, RefusesATransportOfDevicesOnCpus) {
  expect_refusal(
      {[](Options& o) { o.runtime.transport = Transport::nccl; },
       1,
       {"runtime.transport=nccl does not work with runtime.device=cpu: choose another device, "
        "or leave runtime.transport at auto"}});
  for (const Change& change :
       std::vector<Change>{[](Options& o) { o.runtime.transport = Transport::mpi; },
                           [](Options& o) {
                             o.runtime.transport = Transport::nccl, o.runtime.device = Device::cuda;
                           }}) {
    EXPECT_NO_THROW(plan_of(change));
  }
  Options evaluation;
  evaluation.runtime.transport = Transport::nccl;
  EXPECT_NE(refusal([&] {
              make_evaluation_plan(evaluation, 1, plan_of([](auto&) {}).model);
            }).find("runtime.transport=nccl"),
            std::string::npos);
}

TEST(RunPlan, RefusesAModelThatCantBeBuilt) {
  const std::vector<Refused> all{
      {[](Options& o) { o.model.heads = 5; },
       1,
       {"model.heads=5 does not divide model.hidden=64: pick one of 1, 2, 4, 8, 16, 32, 64"}},
      {[](Options& o) { o.model.heads = 128; },
       1,
       {"model.heads=128 does not divide model.hidden=64: pick one of 1, 2, 4, 8, 16, 32, 64"}},
      {[](Options& o) { o.model.layers = 5; },
       1,
       {"model.spans=full,window:8*2,full names 4 layers, model.layers=5: write one span per "
        "layer, "
        "as in full*5"}},
      {[](Options& o) { o.model.positions = 31; },
       1,
       {"train.sequence=32 is longer than model.positions=31: lower train.sequence or raise "
        "model.positions"}},
      {[](Options& o) { o.model.hidden = 60, o.model.positions_kind = PositionsKind::rotary; },
       1,
       {"model.positions_kind=rotary requires an even head dim, but model.hidden=60 / "
        "model.heads=4 is 15: use model.hidden=64, or change model.heads"}},
      {[](Options& o) { o.model.heads = 2, o.parallel.tensor = 4; },
       4,
       {"parallel.tensor=4 does not divide model.heads=2: pick one of 1, 2"}},
      {[](Options& o) { o.model.ffn = 42, o.parallel.tensor = 4; },
       4,
       {"parallel.tensor=4 does not divide model.ffn=42: pick one of 1, 2, 3, 6, 7, 14, 21, 42"}},
      {[](Options& o) { o.train.recompute = "all"; },
       1,
       {"train.recompute has \"all\": pick one of none, selective, block"}},
      {[](Options& o) { o.train.recompute = "none,block*2"; },
       1,
       {"train.recompute=none,block*2 has 3 entries for 4 layers: write one for all, or one "
        "per layer"}},
      {[](Options& o) {
         o.model.heads = 8, o.model.hidden = 96, o.train.sequence = 48;
         o.parallel.context = 3, o.parallel.tensor = 2;
         o.parallel.context_full = ContextFull::heads;
       },
       6,
       {"parallel.context=3 does not divide (model.heads / parallel.tensor)=4: pick one of 1, 2, "
        "4, "
        "or use parallel.context_full=ring"}}};
  for (const Refused& refused : all) expect_refusal(refused);
  Options options = small_run();
  EXPECT_EQ(refusal([&] { make_run_plan(options, 1, 0); }), "model.vocab=0 must be at least 1");
}

// A mistake gives one message, and none about its consequences.
TEST(RunPlan, ReportsEachMistakeOnce) {
  const std::vector<Refused> all{
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.partition = "3,1"; },
       3,
       {"parallel.tensor=1 x parallel.pipeline=2 x parallel.context=1 does not make 3 ranks: start "
        "a multiple of 2, or change the layout"}},
      {[](Options& o) { o.parallel.tensor = 3; },
       2,
       {"parallel.tensor=3 x parallel.pipeline=1 x parallel.context=1 does not make 2 ranks: start "
        "a multiple of 3, or change the layout",
        "parallel.tensor=3 does not divide model.heads=4: pick one of 1, 2, 4",
        "parallel.tensor=3 does not divide model.ffn=256: pick one of 1, 2, 4, 8, 16, 32, 64"}},
      {[](Options& o) { o.model.layers = 4, o.model.spans = "full*2,windw:3"; },
       1,
       {"model.spans: \"windw:3\" is not an attention span: write full, window:w or block:b, with "
        "w, b at least 1"}},
      {[](Options& o) { o.model.spans = "full,,full"; },
       1,
       {"model.spans: the list \"full,,full\" has an empty entry: write as in "
        "full*8,window:256*16"}},
      {[](Options& o) { o.model.spans = "full*3000,full*3000"; },
       1,
       {"model.spans names 6000 layers: at most 4096"}},
      {[](Options& o) { o.train.micro_batch = 1 << 28, o.train.global_batch = 1 << 28; },
       1,
       {"train.micro_batch=268435456 x train.sequence=32 is more than 2147483647 tokens: lower one "
        "of them"}},
      {[](Options& o) { o.train.min_lr = -0.5; },
       1,
       {"train.min_lr=-0.5 is not a learning rate: use 0 or more, or -1 for a tenth of train.lr"}},
      {[](Options& o) { o.checkpoint.resume = ""; },
       1,
       {"checkpoint.resume is empty: use auto, none, or a checkpoint's path"}},
      {[](Options& o) { o.run.dir = ""; }, 1, {"run.dir is empty: name a folder"}}};
  for (const Refused& refused : all) expect_refusal(refused);
}

TEST(RunPlan, RefusesAPartitionOfAnotherModel) {
  const std::vector<Refused> all{
      {[](Options& o) { o.parallel.pipeline = 5; },
       5,
       {"model.layers=4 can't fill parallel.pipeline=5 stages: every stage holds at least one "
        "layer, so pick at most 4 stages"}},
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.partition = "3,2"; },
       2,
       {"parallel.partition=3,2 has 5 layers, but model.layers=4: change one of them"}},
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.partition = "1,1,2"; },
       2,
       {"parallel.partition=1,1,2 has 3 counts, but parallel.pipeline=2: write one count per "
        "stage"}},
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.chunks = 2; },
       2,
       {"parallel.schedule=1f1b has 1 part per stage, but parallel.chunks=2: leave it at 0, or "
        "pick "
        "a schedule that takes 2: interleaved, zero-bubble-v, auto"}},
      {[](Options& o) {
         o.parallel.pipeline = 2, o.parallel.schedule = "interleaved", o.parallel.chunks = 3;
       },
       2,
       {"model.layers=4 can't fill parallel.pipeline=2 stages of 3 parts: every part holds at "
        "least "
        "one layer, so pick parallel.chunks=2 or less (if the schedule takes it), or at most 1 "
        "stages"}},
      {[](Options& o) {
         o.parallel.pipeline = 2, o.parallel.schedule = "interleaved";
         o.parallel.partition = "2,2";
       },
       2,
       {"parallel.partition=2,2 has 2 counts, but parallel.pipeline=2 with 2 parts per stage: "
        "write "
        "one count per part, in the order of the model"}},
      {[](Options& o) { o.parallel.pipeline = 2, o.parallel.partition = "4,0"; },
       2,
       {"parallel.partition=4,0 holds '0', which is not a positive number of layers: write even, "
        "auto, or one count per stage, as in 7,6"}}};
  for (const Refused& refused : all) expect_refusal(refused);
}

TEST(RunPlan, RefusesABatchOrACourseThatDoesNotFit) {
  const std::vector<Refused> all{
      {[](Options& o) { o.train.micro_batch = 3; },
       1,
       {"train.global_batch=8 is not a multiple of train.micro_batch=3 x parallel.data=1: use "
        "train.global_batch=9, or change the others"}},
      {[](Options&) {},
       3,
       {"train.global_batch=8 is not a multiple of train.micro_batch=1 x parallel.data=3: use "
        "train.global_batch=9, or change the others"}},
      {[](Options& o) { o.train.micro_batch = 16; },
       1,
       {"train.global_batch=8 is not a multiple of train.micro_batch=16 x parallel.data=1: use "
        "train.global_batch=16, or change the others"}},
      {[](Options& o) { o.train.min_lr = 1e-3; },
       1,
       {"train.min_lr=0.001 is above train.lr=0.0006: lower train.min_lr, or leave it out to get a "
        "tenth of train.lr"}},
      {[](Options& o) { o.train.dump_gradients_at = 11, o.train.steps = 10; },
       1,
       {"train.dump_gradients_at=11 is after the last step, train.steps=10: lower it"}},
      {[](Options& o) { o.model.rotary_theta = 5; },
       1,
       {"model.rotary_theta=5 and model.rotary_theta_window=0 do nothing with "
        "model.positions_kind=learned: choose rotary, or leave them out"}},
      {[](Options& o) {
         o.model.positions_kind = PositionsKind::rotary, o.model.rotary_theta_window = 0.5;
       },
       1,
       {"model.rotary_theta_window=0.5 is too small: use 0 for model.rotary_theta, or at least "
        "1"}}};
  for (const Refused& refused : all) expect_refusal(refused);
}

TEST(RunPlan, ReportsEveryViolationAtOnce) {
  expect_refusal(
      {[](Options& o) { o.parallel.context = 2, o.train.sequence = 31, o.train.micro_batch = 3; },
       2,
       {"train.global_batch=8 is not a multiple of train.micro_batch=3 x parallel.data=1: use "
        "train.global_batch=9, or change the others",
        "train.sequence=31 can't be divided among parallel.context=2 ranks: use "
        "train.sequence=32 or 30"}});
  expect_refusal(
      {[](Options& o) {
         o.parallel.tensor = 3, o.parallel.pipeline = 2, o.parallel.partition = "2,3";
         o.model.hidden = 63, o.model.positions = 16;
         o.train.micro_batch = 5, o.train.min_lr = 1, o.train.dump_gradients_at = 2000;
       },
       6,
       {"model.heads=4 does not divide model.hidden=63: pick one of 1, 3, 7, 9, 21, 63",
        "parallel.tensor=3 does not divide model.heads=4: pick one of 1, 2, 4",
        "parallel.partition=2,3 has 5 layers, but model.layers=4: change one of them",
        "train.sequence=32 is longer than model.positions=16: lower train.sequence or raise "
        "model.positions",
        "train.global_batch=8 is not a multiple of train.micro_batch=5 x parallel.data=1: use "
        "train.global_batch=10, or change the others",
        "train.min_lr=1 is above train.lr=0.0006: lower train.min_lr, or leave it out to get a "
        "tenth of train.lr",
        "train.dump_gradients_at=2000 is after the last step, train.steps=1000: lower it"}});
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

struct Planned {
  int pipe, data, tensor;
  bool tied;
  const char* schedule = "1f1b";
};

TEST(RunPlan, NamesTheLayersOfEachStage) {
  RunPlan plan = plan_of([](Options& o) { o.parallel.pipeline = 2; }, 2);
  plan.partition = {{0, 1}, {1, 2}, {2, 5}, {5, 6}};
  plan.training.placement = Placement::v_shape(2);
  EXPECT_EQ(layers_of(plan, 0), "layer 0, layer 5");
  EXPECT_EQ(layers_of(plan, 1), "layer 1, layers 2-4");
}

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
