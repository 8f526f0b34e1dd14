// What a plan refuses, and how: each violation once, with its remedy.
#include <algorithm>

#include <gtest/gtest.h>

#include "launch/plan/run_plan.h"
#include "tests/launch/plan/small_plan.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;

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
      {[](Options& o) { o.model.heads = 1, o.parallel.tensor = 2; },
       2,
       {"parallel.tensor=2 does not divide model.heads=1: only possible is 1"}},
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
        "stage"}},
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

}  // namespace
}  // namespace masformer
