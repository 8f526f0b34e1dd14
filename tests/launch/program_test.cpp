// What the program's users and other tools see: layouts that agree, metrics, evaluation.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

TEST(Program, LayoutsAgreeGradientByGradient) {
  const Scratch scratch;
  const std::vector<std::string> dump{"--train.dump_gradients_at", "1"};
  const std::vector<Training> layouts{{.options = dump},
                                      {.tensor = 2, .options = dump},
                                      {.pipeline = 2, .options = dump},
                                      {.data = 2, .options = dump},
                                      {.tensor = 2, .pipeline = 2, .options = dump}};
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    const std::string name = "run" + std::to_string(i);
    const Finished finished = train(scratch, name, layouts[i]);
    ASSERT_EQ(finished.status, 0) << finished.output;
    const auto gradients = scratch.path(name) / "gradients" / "step-00000001";
    const auto reference = scratch.path("run0") / "gradients" / "step-00000001";
    EXPECT_LT(worst_difference(gradients, reference), 5e-6) << name;
    const auto lines = metrics(scratch, name);
    const auto expected = metrics(scratch, "run0");
    ASSERT_EQ(lines.size(), 20u);
    const auto ratio = [&](std::size_t step, const char* what) {
      return lines[step][what].get<double>() / expected[step][what].get<double>();
    };
    EXPECT_NEAR(ratio(0, "loss"), 1, 5e-7) << name;
    EXPECT_NEAR(ratio(0, "grad_norm"), 1, 1e-6) << name;
    EXPECT_NEAR(ratio(19, "loss"), 1, 5e-6) << name;
  }
}

TEST(Program, MetricsHoldWhatOtherToolsRead) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {.tensor = 2, .pipeline = 2}).status, 0);
  const auto lines = metrics(scratch, "run");
  ASSERT_EQ(lines.size(), 20u);
  const nlohmann::json& last = lines.back();
  EXPECT_EQ(last["step"], 20);
  EXPECT_EQ(last["tokens"], 20 * 8 * 48);
  for (const char* const name :
       {"loss", "grad_norm", "lr", "step_seconds", "tokens_per_second", "model_flops_per_second",
        "mfu", "mfu_dense", "peak_memory_bytes", "bubble"}) {
    EXPECT_GT(last[name].get<double>(), 0) << name;
  }
  EXPECT_GT(last["mfu_dense"], last["mfu"]);
  EXPECT_LT(last["bubble"], 1);
  const auto sent = [&](const char* axis) { return last["sent_bytes"][axis].get<std::int64_t>(); };
  EXPECT_EQ(sent("context"), 0);
  // The stream: 8 micro-batches of 48 tokens, 32 floats each. It crosses the one border forward and
  // backward, half of it on each tensor rank; and both ends sum their half of the padded token
  // table, 288 rows of 32.
  const std::int64_t stream = 8 * 48 * 32 * 4;
  const std::int64_t table = 288 * 32 * 4 * 2;
  EXPECT_EQ(sent("pipeline"), 2 * stream + table);
  // Two tensor ranks exchange it 8 times a block, forward and backward after each norm and before
  // each residual sum, and twice in the embedding and the head; and the softmax's largest logit,
  // sum and target of every token.
  EXPECT_EQ(sent("tensor"), (4 * 8 + 2 + 2) * stream + 2 * 3 * 8 * 48 * 4);
  // Both have part of the gradients of 9 norms.
  EXPECT_EQ(sent("data"), 2 * 9 * 2 * 32 * 4);
  // The exchanges are half gathers, half sums of shares; the softmax's numbers are reduced.
  const std::int64_t softmax = 2 * 3 * 8 * 48 * 4, exchanges = sent("tensor") - softmax;
  EXPECT_EQ(last["sent_bytes_by_operation"],
            (nlohmann::json{{"tensor",
                             {{"all_reduce", softmax},
                              {"reduce_scatter", exchanges / 2},
                              {"all_gather", exchanges / 2}}},
                            {"pipeline", {{"send", 2 * stream}, {"all_reduce", table}}},
                            {"data", {{"all_reduce", sent("data")}}}}));
  EXPECT_LT(last["loss"].get<double>(), 0.8 * lines[0]["loss"].get<double>());
}

// The wrapper knows whether a person watches; a file that says otherwise is heeded all the same.
TEST(Program, AFileDecidesOnTheLiveLineUnderTheWrapper) {
  const Scratch scratch;
  for (const std::string live : {"on", "auto"}) {
    const fs::path file = scratch.path(live + ".ini");
    std::ofstream(file) << "[log]\nlive = " << live << "\n";
    const Finished finished = train(scratch, live, {.options = {"--config", file.string()}});
    ASSERT_EQ(finished.status, 0) << finished.output;
    const bool changes_in_place = finished.output.find("\r\033[Kstep 1/") != std::string::npos;
    EXPECT_EQ(changes_in_place, live == "on") << finished.output;  // what is captured is a pipe
  }
}

TEST(Program, EvaluationAgreesWithTrainingUnderAnyLayout) {
  const Scratch scratch;
  const Training training{.pipeline = 2, .options = {"--eval.every", "10", "--eval.windows", "0"}};
  ASSERT_EQ(train(scratch, "run", training).status, 0);
  const double during = metrics(scratch, "run").back()["eval_loss"];
  const std::vector<std::string> words{
      "eval",        "--checkpoint",           checkpoint(scratch, "run", 20).string(),
      "--data.path", scratch.store().string(), "--json"};
  const auto evaluate = [&](std::vector<std::string> before, std::vector<std::string> after) {
    before.insert(before.end(), words.begin(), words.end());
    before.insert(before.end(), after.begin(), after.end());
    const Finished finished = run(before);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return nlohmann::json::parse(finished.output);
  };
  const nlohmann::json alone = evaluate({program()}, {});
  EXPECT_NEAR(alone["loss"].get<double>() / during, 1, 5e-7);
  const nlohmann::json split =
      evaluate({program(), "run", "-n", "4", "--"}, {"--parallel.tensor", "2"});
  EXPECT_NEAR(split["loss"].get<double>() / during, 1, 5e-7);
  EXPECT_EQ(split["tokens"], alone["tokens"]);
  const nlohmann::json all = evaluate({program()}, {"--eval.split", "all"});
  EXPECT_GT(all["tokens"].get<std::int64_t>(), 15 * alone["tokens"].get<std::int64_t>());
  EXPECT_EQ(all["tokens"].get<std::int64_t>() % 48, 0);
}

}  // namespace
}  // namespace masformer::test
