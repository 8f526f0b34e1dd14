// What the program's users and other tools see: layouts that agree, metrics, evaluation, refusals.
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
  EXPECT_EQ(last["sent_bytes"]["context"], 0);
  EXPECT_EQ(last["sent_bytes"]["data"], 0);
  // Each micro-batch crosses the one border forward and backward, on both tensor ranks: 8 of 48
  // tokens of 32 floats; and both ends sum their half of the padded token table, 288 rows of 32.
  const std::int64_t activations = 2 * 2 * 8 * 48 * 32 * 4;
  const std::int64_t table = 288 * 32 * 4 * 2;
  EXPECT_EQ(last["sent_bytes"]["pipeline"].get<std::int64_t>(), activations + table);
  EXPECT_LT(last["loss"].get<double>(), 0.8 * lines[0]["loss"].get<double>());
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

struct Refusal {
  std::vector<std::string> options;
  Training layout;
  std::vector<std::string> messages;
};

TEST(Program, RefusesWithoutTrainingAndSaysWhy) {
  const Scratch scratch;
  const std::vector<Refusal> refusals{
      {{"--model.heads", "3"}, {}, {"model.heads=3 does not divide model.hidden=32: pick one of"}},
      {{"--model.layrs", "3"}, {}, {"there is no option model.layrs: did you mean model.layers?"}},
      {{"--train.seed", "x"}, {}, {"train.seed=x is not a whole number"}},
      {{"--train.micro_batch", "3"},
       {},
       {"train.global_batch=8 is not a multiple of train.micro_batch=3 x parallel.data=1: make it "
        "9"}},
      {{},
       {.tensor = 3},
       {"parallel.tensor=3 does not divide model.heads=4: pick one of 1, 2, 4",
        "parallel.tensor=3 does not divide model.ffn=128"}},
      {{"--parallel.context", "2"}, {.tensor = 2}, {"does not make 2 ranks"}},
      {{"--parallel.partition", "3,2"}, {.pipeline = 2}, {"3,2"}},
      {{"--model.vocab", "200"},
       {},
       {"holds token 256, beyond model.vocab=200: raise model.vocab to 257"}},
      {{"--parallel.schedule", "zigzag"},
       {},
       {"parallel.schedule=zigzag is not known: pick one of gpipe, 1f1b"}},
      {{"--model.positions", "8"}, {}, {"train.sequence=48 is longer than model.positions=8"}},
      {{"--config", "/nowhere.ini"}, {}, {"/nowhere.ini: no configuration file can be read"}},
      {{"--checkpoint.resume", "/nowhere"}, {.tensor = 2}, {"/nowhere: there is no checkpoint"}},
      {{"--checkpoint.init", "/nowhere"}, {.tensor = 2}, {"/nowhere: there is no checkpoint"}},
      {{"--parallel.tensor", "4294967296"}, {}, {"parallel.tensor=4294967296 is too large"}},
      {{"--train.lr", "nan"}, {}, {"train.lr=nan is not a finite number"}},
      {{"--train.min_lr", "1"}, {}, {"train.min_lr=1 is above train.lr=0.003"}},
      {{"--train.dump_gradients_at", "21"}, {}, {"train.dump_gradients_at=21 lies beyond"}},
      {{"--eval.every", "1", "--data.held_out", "0"},
       {.tensor = 2},
       {"eval.every=1, but the held-out"}},
  };
  for (const Refusal& refusal : refusals) {
    Training training = refusal.layout;
    training.options = refusal.options;
    const Finished finished = train(scratch, "refused", training);
    EXPECT_EQ(finished.status, 2) << finished.output;
    for (const std::string& message : refusal.messages) {
      const auto first = finished.output.find(message);
      EXPECT_NE(first, std::string::npos) << message << "\nnot in\n" << finished.output;
      if (first == std::string::npos) continue;
      EXPECT_EQ(finished.output.find(message, first + 1), std::string::npos) << "said twice:\n"
                                                                             << finished.output;
    }
  }
}

TEST(Program, RefusesToResumeWhatMayNotChange) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {}).status, 0);
  std::vector<std::string> words =
      training_words(scratch, "run", {.options = {"--train.seed", "5", "--data.held_out", "0.25"}});
  *(std::find(words.begin(), words.end(), "--model.hidden") + 1) = "64";
  const Finished finished = run(words);
  EXPECT_EQ(finished.status, 2) << finished.output;
  for (const char* const message :
       {"model.hidden=64, but the run began with 32", "train.seed=5, but the run began with 1",
        "data.held_out=0.25, but the run began with 0.05"}) {
    EXPECT_NE(finished.output.find(message), std::string::npos) << finished.output;
  }
}

TEST(Program, ReadsTheEnvironmentAndTheFileInOrder) {
  const Scratch scratch;
  std::ofstream(scratch.path("c.ini")) << "[train]\nseed = 3\nlr = 1e-3\n[eval]\nwindows = 5\n";
  const std::vector<std::string> words{
      program(),      "train", "--config",       scratch.path("c.ini").string(),
      "--train.seed", "x",     "--eval.windows", "y"};
  const Finished both = run(words, {{"MASFORMER_TRAIN_LR", "z"}, {"MASFORMER_TRAIN_SEED", "w"}});
  EXPECT_EQ(both.status, 2);
  for (const char* const message :
       {"train.seed=x is not", "train.lr=z is not", "eval.windows=y is not"}) {
    EXPECT_NE(both.output.find(message), std::string::npos) << both.output;
  }
  const Finished typo = run({program(), "train"}, {{"MASFORMER_TRAIN_STEPZ", "3"}});
  EXPECT_EQ(typo.status, 2);
  EXPECT_NE(typo.output.find("MASFORMER_TRAIN_STEPZ names no option"), std::string::npos)
      << typo.output;
}

TEST(Program, FailsCleanlyOnAFullDisk) {
  const Scratch scratch;
  const fs::path small = scratch.path("small");
  fs::create_directories(small);
  if (run({"mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small.string()}).status != 0) {
    GTEST_SKIP() << "no small file system can be mounted here";
  }
  const Finished finished = train(scratch, "small", {.tensor = 2, .pipeline = 2});
  std::string left;
  for (const auto& entry : fs::directory_iterator(small / "checkpoints")) {
    left += entry.path().filename().string() + " ";
  }
  run({"umount", small.string()});
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(finished.output.find("No space left on device"), std::string::npos) << finished.output;
  EXPECT_EQ(left, "");
}

}  // namespace
}  // namespace masformer::test
