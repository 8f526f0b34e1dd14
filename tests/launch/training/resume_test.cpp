// Stopping and resuming through the program: a resumed run is bit-identical, and starts from the
// newest complete checkpoint. See kill_test.cpp for kills, resume_pairs_test.cpp for other layouts,
// and resume_disk_test.cpp for disks and files.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/has_bf16.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

const Training square{.tensor = 2, .pipeline = 2};
const Training shared{.tensor = 2, .data = 2};

const Training halved{.tensor = 2, .data = 2, .options = {"--train.dtype", "bf16"}};

Training with(Training training, const std::vector<std::string>& options) {
  training.options.insert(training.options.end(), options.begin(), options.end());
  return training;
}

// Waits until the run has done `steps` steps.
void wait_for_steps(const Scratch& scratch, const std::string& run_dir, std::size_t steps) {
  for (int i = 0; i < 6000 && metrics(scratch, run_dir).size() < steps; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class ResumeUnder : public testing::TestWithParam<Training> {};

TEST_P(ResumeUnder, IsBitIdenticalAfterASignal) {
  if (GetParam().in_bf16() && !has_bf16()) GTEST_SKIP() << no_bf16;
  const Scratch scratch;
  // So many steps that the signal comes before the last.
  const Training longer = with(GetParam(), {"--train.steps", "100"});
  ASSERT_EQ(train(scratch, "whole", longer).status, 0);
  Process stopped(training_words(scratch, "stopped", longer));
  wait_for_steps(scratch, "stopped", 5);
  stopped.signal(SIGTERM);
  const Finished first = stopped.wait();
  ASSERT_EQ(first.status, 3) << first.output;
  const std::size_t done = metrics(scratch, "stopped").size();
  EXPECT_LT(done, 100u);
  const Finished second = train(scratch, "stopped", longer);
  ASSERT_EQ(second.status, 0) << second.output;
  EXPECT_EQ(timeless_metrics(scratch, "stopped"), timeless_metrics(scratch, "whole"));
  EXPECT_EQ(
      worst_difference(checkpoint(scratch, "stopped", 100), checkpoint(scratch, "whole", 100)), 0);
}

TEST(Resume, CutsMetricsBackToTheCheckpoint) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "whole", square).status, 0);
  const Training half = with(square, {"--checkpoint.every", "10"});
  ASSERT_EQ(train(scratch, "run", half).status, 0);
  fs::remove_all(checkpoint(scratch, "run", 20));
  std::ofstream(scratch.path("run") / "metrics.jsonl", std::ios::app) << "{\"step\": 2";
  ASSERT_EQ(train(scratch, "run", half).status, 0);
  EXPECT_EQ(timeless_metrics(scratch, "run"), timeless_metrics(scratch, "whole"));
}

// With two data ranks each holds a share of the optimizer's state and of the masters.
INSTANTIATE_TEST_SUITE_P(Layouts, ResumeUnder, testing::Values(square, shared, halved),
                         [](const auto& layout) {
                           return layout.param.in_bf16()  ? "DataAndTensorInBf16"
                                  : layout.param.data > 1 ? "DataAndTensor"
                                                          : "PipelineAndTensor";
                         });

TEST(Resume, SkipsADamagedCheckpoint) {
  const Scratch scratch;
  const Training saving = with(square, {"--checkpoint.every", "5"});
  ASSERT_EQ(train(scratch, "whole", saving).status, 0);
  ASSERT_EQ(train(scratch, "run", saving).status, 0);
  const std::string own = checkpoint(scratch, "run", 20), other = checkpoint(scratch, "whole", 20);
  const Finished sound = run({program(), "inspect", own, "--compare", other, "--verify"});
  EXPECT_EQ(sound.status, 0);
  EXPECT_TRUE(sound.output.ends_with("largest difference 0.000e+00\n" + own +
                                     ": 4 files verified\n" + other + ": 4 files verified\n"))
      << sound.output;
  const fs::path shard = fs::path(own) / "shard-00002.h5";
  std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(shard) / 2));
  const char flipped = static_cast<char>(~file.peek());
  file.write(&flipped, 1);
  file.close();
  const Finished verified = run({program(), "inspect", own, "--verify"});
  EXPECT_EQ(verified.status, 1);
  EXPECT_NE(verified.output.find("shard-00002.h5"), std::string::npos) << verified.output;
  const Finished again = train(scratch, "run", saving);
  EXPECT_EQ(again.status, 0);
  EXPECT_NE(again.output.find("skips a damaged checkpoint"), std::string::npos) << again.output;
  EXPECT_EQ(timeless_metrics(scratch, "run"), timeless_metrics(scratch, "whole"));
}

TEST(Resume, KeepsTheNewestCheckpoints) {
  const Scratch scratch;
  ASSERT_EQ(
      train(scratch, "run", with({}, {"--checkpoint.every", "4", "--checkpoint.keep", "2"})).status,
      0);
  EXPECT_FALSE(fs::exists(checkpoint(scratch, "run", 12)));
  EXPECT_TRUE(fs::exists(checkpoint(scratch, "run", 16)));
  EXPECT_TRUE(fs::exists(checkpoint(scratch, "run", 20)));
}

TEST(Resume, OptionNoneSetsTheOldRunAside) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {}).status, 0);
  const auto before = timeless_metrics(scratch, "run");
  const Finished anew = train(scratch, "run", with({}, {"--checkpoint.resume", "none"}));
  ASSERT_EQ(anew.status, 0) << anew.output;
  EXPECT_EQ(timeless_metrics(scratch, "run"), before);
  EXPECT_TRUE(fs::exists(scratch.path("run") / "set-aside-1-metrics.jsonl"));
  EXPECT_TRUE(fs::exists(scratch.path("run") / "checkpoints" / "set-aside-1-step-00000020"));
}

// The folder also holds a newer run, which must not be taken for the one that wrote the checkpoint.
TEST(Resume, FromASetAsideCheckpointSetsAsideTheNewerRun) {
  const Scratch scratch;
  const auto saving = [](const std::string& name, const std::string& value) {
    return with({}, {"--checkpoint.every", "10", name, value});
  };
  ASSERT_EQ(train(scratch, "run", saving("--train.seed", "1")).status, 0);
  ASSERT_EQ(train(scratch, "run", saving("--checkpoint.resume", "none")).status, 0);
  const fs::path checkpoints = scratch.path("run") / "checkpoints";
  const std::string aside = (checkpoints / "set-aside-1-step-00000020").string();
  const Finished finished =
      train(scratch, "run", with(saving("--checkpoint.resume", aside), {"--train.steps", "25"}));
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_TRUE(fs::exists(checkpoints / "set-aside-2-step-00000020"));
  EXPECT_TRUE(fs::exists(scratch.path("run") / "set-aside-2-metrics.jsonl"));
  ASSERT_EQ(metrics(scratch, "run").size(), 5u);
  EXPECT_EQ(metrics(scratch, "run").front().at("step"), 21);
}

TEST(Resume, FromAnotherRunSetsAsideEverythingOfThisRun) {
  const Scratch scratch;
  const auto saving = [](const std::string& name, const std::string& value) {
    return with({}, {"--checkpoint.every", "10", name, value});
  };
  ASSERT_EQ(train(scratch, "whole", saving("--train.seed", "1")).status, 0);
  ASSERT_EQ(train(scratch, "run", saving("--train.seed", "2")).status, 0);
  const std::string other = checkpoint(scratch, "whole", 10).string();
  const Finished finished = train(scratch, "run", saving("--checkpoint.resume", other));
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("set aside what"), std::string::npos) << finished.output;
  EXPECT_TRUE(fs::exists(scratch.path("run") / "checkpoints" / "set-aside-1-step-00000010"));
  // Steps 11 to 20 are those of the other run.
  auto expected = timeless_metrics(scratch, "whole");
  expected.erase(expected.begin(), expected.begin() + 10);
  EXPECT_EQ(timeless_metrics(scratch, "run"), expected);
  EXPECT_EQ(worst_difference(checkpoint(scratch, "run", 20), checkpoint(scratch, "whole", 20)), 0);
}

TEST(Resume, FromAPathOfTheSameRunContinuesThatRun) {
  const Scratch scratch;
  const auto saving = [](const std::string& from) {
    return with({}, {"--checkpoint.every", "10", "--checkpoint.resume", from});
  };
  ASSERT_EQ(train(scratch, "run", saving("auto")).status, 0);
  const auto whole = timeless_metrics(scratch, "run");
  const std::string half = checkpoint(scratch, "run", 10).string();
  for (const std::string& from : {half, half + "/", half + "/."}) {
    const Finished finished = train(scratch, "run", saving(from));
    ASSERT_EQ(finished.status, 0) << finished.output;
    EXPECT_TRUE(fs::exists(half)) << finished.output;
    EXPECT_EQ(timeless_metrics(scratch, "run"), whole);
  }
}

// With a learning rate of 0, the new run keeps the weights of the old one.
TEST(Init, TakesEveryWeightAsItIs) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "base", {}).status, 0);
  const std::string from = checkpoint(scratch, "base", 20).string();
  const Training still{.tensor = 2,
                       .pipeline = 2,
                       .options = {"--checkpoint.init", from, "--train.steps", "2", "--model.spans",
                                   "window:4*4", "--train.lr", "0", "--train.min_lr", "0"}};
  const Finished finished = train(scratch, "still", still);
  ASSERT_EQ(finished.status, 0) << finished.output;
  const Finished compared = run({program(), "inspect", checkpoint(scratch, "still", 2).string(),
                                 "--compare", from, "--json"});
  ASSERT_EQ(compared.status, 0) << compared.output;
  const auto tensors = nlohmann::json::parse(compared.output).at("tensors");
  int weights = 0;
  for (const auto& [name, difference] : tensors.items()) {
    if (name.starts_with("optimizer.")) continue;
    EXPECT_EQ(difference, 0) << name;
    ++weights;
  }
  EXPECT_EQ(weights, 4 + 4 * 13);
}

TEST(Resume, FixesThePositionsOfAModel) {
  const Scratch scratch;
  const std::vector<std::string> rotary{"--model.positions_kind", "rotary"};
  ASSERT_EQ(train(scratch, "run", with({}, rotary)).status, 0);
  const auto refused = [&](const std::vector<std::string>& options) {
    const Finished finished = train(scratch, "run", with({}, options));
    EXPECT_EQ(finished.status, 2) << finished.output;
    return finished.output;
  };
  const auto says = [](const std::string& output, const char* words) {
    EXPECT_NE(output.find(words), std::string::npos) << output;
  };
  says(refused({}), "model.positions_kind=learned, but it was rotary");
  says(refused({"--model.positions_kind", "none"}), "model.positions_kind=none, but it was rotary");
  says(refused(with({.options = rotary}, {"--model.rotary_theta", "5000"}).options),
       "model.rotary_theta=5000.0, but it was 10000.0");
  says(refused(with({.options = rotary}, {"--model.rotary_theta_window", "70"}).options),
       "model.rotary_theta_window=70.0, but it was 10000.0");
}

// As a run on longer sequences does: other angles, and no table of positions.
TEST(Init, MayChangeTheRotaryThetas) {
  const Scratch scratch;
  const std::vector<std::string> rotary{"--model.positions_kind", "rotary"};
  ASSERT_EQ(train(scratch, "base", with({}, rotary)).status, 0);
  const std::string from = checkpoint(scratch, "base", 20).string();
  const Training longer = with({.context = 2, .options = rotary},
                               {"--checkpoint.init", from, "--train.steps", "2", "--train.lr", "0",
                                "--train.sequence", "96", "--model.rotary_theta", "50000"});
  const Finished finished = train(scratch, "longer", longer);
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_LT(metrics(scratch, "longer")[0]["loss"].get<double>(), 4.5);
}

// Eval of a checkpoint with sequences that are longer than those of its training.
TEST(Eval, OfRotaryPositionsTakesLongerSequences) {
  const Scratch scratch;
  const auto loss_of = [&](const std::string& kind, const std::string& sequence, int ranks) {
    const Finished finished =
        run({program(), "run", "-n", std::to_string(ranks), "--", "eval", "--checkpoint",
             checkpoint(scratch, kind, 20).string(), "--data.path", scratch.store().string(),
             "--eval.windows", "8", "--train.sequence", sequence, "--parallel.context",
             std::to_string(ranks), "--json"});
    EXPECT_EQ(finished.status, 0) << finished.output;
    return nlohmann::json::parse(finished.output).at("loss").get<double>();
  };
  for (const std::string kind : {"rotary", "none"}) {
    SCOPED_TRACE(kind);
    ASSERT_EQ(train(scratch, kind, with({}, {"--model.positions_kind", kind})).status, 0);
    const double longer = loss_of(kind, "192", 1);
    EXPECT_NEAR(longer / loss_of(kind, "48", 1), 1, 0.2);
    EXPECT_NEAR(loss_of(kind, "192", 2) / longer, 1, 5e-6);
  }
}

TEST(Init, StartsANewRunFromWeightsAlone) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "base", {}).status, 0);
  const std::string from = checkpoint(scratch, "base", 20).string();
  const Training longer =
      with({}, {"--checkpoint.init", from, "--train.steps", "3", "--model.spans",
                "full,window:4,window:4,full", "--train.sequence", "96", "--train.lr", "0"});
  const Finished finished = train(scratch, "longer", longer);
  ASSERT_EQ(finished.status, 0) << finished.output;
  const auto lines = metrics(scratch, "longer");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_LT(lines[0]["loss"].get<double>(), 4.5);  // a fresh model begins at log 257 = 5.5
  const Finished again = train(scratch, "longer", longer);
  EXPECT_NE(again.output.find("checkpoint.init=" + from + " is not used"), std::string::npos)
      << again.output;
}

}  // namespace
}  // namespace masformer::test
