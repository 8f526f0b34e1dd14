// The tables of a step's time, for given calls and for a step of a model.
#include "launch/training/step_profile.h"

#include <map>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "model/cost/flops.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/op_timer.h"
#include "tests/support/single_rank.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

const std::vector<TimedCall> calls{
    {"fill_zero", CallKind::op, {}, 0, 0.5},
    {"linear", CallKind::op, {"mlp", "forward"}, 6e9, 2},
    {"tensor ranks", CallKind::wait, {"mlp", "forward"}, 0, 0.25},
    {"linear", CallKind::op, {"head", "backward_input"}, 2e9, 1},
    {"linear", CallKind::op, {"mlp", "backward_weight"}, 6e9, 3},
};

TEST(StepProfile, CountsEachCallOnceInEachTable) {
  const StepProfile profile = make_profile(calls, 8);
  ASSERT_EQ(profile.ops.size(), 2u);
  EXPECT_EQ(profile.ops[1].name, "linear");
  EXPECT_EQ(profile.ops[1].calls, 3);
  EXPECT_EQ(profile.ops[1].seconds, 6);
  EXPECT_EQ(profile.ops[1].flops, 14e9);
  ASSERT_EQ(profile.layers.size(), 3u);
  EXPECT_EQ(profile.layers[0].name, "") << "outside of layers";
  EXPECT_EQ(profile.layers[1].name, "mlp");
  EXPECT_EQ(profile.layers[1].seconds, 5) << "without the wait";
  EXPECT_EQ(profile.layers[1].seconds_by_pass,
            (std::map<std::string, double>{{"forward", 2}, {"backward_weight", 3}}));
  EXPECT_EQ(profile.wait_seconds(), 0.25);
  EXPECT_EQ(profile.other_seconds(), 8 - 6.5 - 0.25);
}

TEST(StepProfile, IsTheSameAsJson) {
  const nlohmann::json json = to_json(make_profile(calls, 8));
  EXPECT_EQ(json.at("seconds"), 8);
  EXPECT_EQ(json.at("other_seconds"), 8 - 6.5 - 0.25);
  EXPECT_EQ(
      json.at("ops").at(1),
      (nlohmann::json{{"name", "linear"},
                      {"calls", 3},
                      {"seconds", 6.0},
                      {"flops", 14e9},
                      {"seconds_by_pass",
                       {{"forward", 2.0}, {"backward_input", 1.0}, {"backward_weight", 3.0}}}}));
  EXPECT_EQ(json.at("layers").size(), 3U);
  EXPECT_EQ(json.at("waits").at(0).at("name"), "tensor ranks");
}

TEST(StepProfile, PrintsRatesAndSharesOfThePeak) {
  const std::string text = to_string(make_profile(calls, 8), 4e9);
  for (const char* const line :
       {"  fill_zero                          1    500.000    6.2%\n",
        "  linear                             3   6000.000   75.0%        2.3    58.3%\n",
        "  wait for tensor ranks              1    250.000    3.1%\n",
        "  other                                  1250.000   15.6%\n",
        "  total                                  8000.000  100.0%\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

// The FLOPs of a step are those that model/cost/flops.h counts, if nothing is padded or recomputed.
TEST(StepProfile, HasAllOperationsOfAStep) {
  const ModelConfig config{.hidden = 32,
                           .vocab = 48,
                           .positions = 24,
                           .blocks = blocks_of_spans(parse_spans("full,window:5,block:8"),
                                                     {.heads = 4}, GeluMlpSpec{64})};
  constexpr int micro_batches = 3;
  const std::int64_t sequence = config.positions;
  Stream stream(device());
  const ProcessGroups groups = alone();
  StageUnderTest model(config, {}, {}, even_partition(config.layers(), 1), {.shape = {1, sequence}},
                       make_schedule("1f1b", {.micro_batches = micro_batches}), stream, groups);
  const std::vector<std::int32_t> ids = positions(1, sequence);
  for (int i = 0; i < micro_batches; ++i) {
    model.stage.set_micro_batch(i, {ids.data(), ids.data(), ids.data()});
  }
  OpTimer timer(stream);
  model.stage.begin_training(micro_batches * sequence);
  execute(stream, model.training, *groups.pipe, model.stage);
  timer.finish();
  const StepProfile profile = make_profile(timer.calls(), timer.seconds());

  double flops = 0, layer_flops = 0;
  for (const ProfileRow& row : profile.ops) flops += row.flops;
  std::vector<std::string> kinds;
  for (const ProfileRow& row : profile.layers) {
    layer_flops += row.flops;
    kinds.push_back(row.name);
    if (row.name.empty()) continue;
    EXPECT_GT(row.seconds_by_pass.at("forward"), 0) << row.name;
  }
  EXPECT_DOUBLE_EQ(flops, micro_batches * training_flops(config, sequence, PairCount::visible));
  EXPECT_DOUBLE_EQ(layer_flops, flops);
  EXPECT_EQ(kinds, (std::vector<std::string>{"", "embedding", "attention full", "mlp",
                                             "attention window:5", "attention block:8", "head"}));
  EXPECT_GE(profile.other_seconds(), 0);
}

}  // namespace
}  // namespace masformer::test
