// What `masformer train` refuses, and its messages.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

void expect_refused(const Finished& finished, const std::string& message) {
  EXPECT_EQ(finished.status, 2) << finished.output;
  const auto first = finished.output.find(message);
  ASSERT_NE(first, std::string::npos) << message << "\nnot in\n" << finished.output;
  EXPECT_EQ(finished.output.find(message, first + 1), std::string::npos) << "said twice:\n"
                                                                         << finished.output;
}

struct Case {
  std::vector<std::string> options;
  Training layout;
  std::vector<std::string> messages;
};

TEST(TrainCommand, RefusesUnusableOptionsBeforeTraining) {
  const Scratch scratch;
  const std::vector<Case> refusals{
      {{"--model.heads", "3"}, {}, {"model.heads=3 does not divide model.hidden=32: pick one of"}},
      {{"--model.layrs", "3"}, {}, {"there is no option model.layrs: did you mean model.layers?"}},
      {{"--train.seed", "x"}, {}, {"train.seed=x is not a whole number"}},
      {{"--train.micro_batch", "3"},
       {},
       {"train.global_batch=8 is not a multiple of train.micro_batch=3 x parallel.data=1: use "
        "train.global_batch=9"}},
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
       {fmt::format("parallel.schedule=zigzag is not known: pick one of {}",
                    fmt::join(schedule_names(), ", "))}},
      {{"--model.positions", "8"}, {}, {"train.sequence=48 is longer than model.positions=8"}},
      {{"--config", "/nowhere.ini"}, {}, {"can't read the configuration file /nowhere.ini"}},
      {{"--checkpoint.resume", "/nowhere"}, {.tensor = 2}, {"/nowhere is not a checkpoint"}},
      {{"--checkpoint.init", "/nowhere"}, {.tensor = 2}, {"/nowhere is not a checkpoint"}},
      {{"--parallel.tensor", "4294967296"}, {}, {"parallel.tensor=4294967296 is too large"}},
      {{"--runtime.threads", "100000"}, {}, {"runtime.threads=100000 is too large: at most 4096"}},
      {{"--runtime.threads", "4294967297"}, {}, {"runtime.threads=4294967297 is too large"}},
      {{"--train.global_batch", "268435456"},
       {},
       {"train.global_batch=268435456 makes 268435456 micro-batches per data rank"}},
      {{"--model.init_deviation", "1e30"},
       {},
       {"model.init_deviation=1e30 is too large: at most 100"}},
      {{"--train.lr", "1e400"}, {}, {"train.lr=1e400 is too large: at most 1"}},
      {{"--train.lr", "nan"}, {}, {"train.lr=nan is not a finite number"}},
      {{"--train.min_lr", "1"}, {}, {"train.min_lr=1 is above train.lr=0.003"}},
      {{"--train.dump_gradients_at", "21"},
       {},
       {"train.dump_gradients_at=21 is after the last step"}},
      {{"--model.hidden", "4096", "--model.positions", "268435456"},
       {.tensor = 2},
       {"the 2 ranks on ", " GiB of memory, but only ", "\nmemory  ", "0: layers 0-",
        " MiB per rank reserved for libraries\n"}},
      {{"--eval.every", "1", "--data.held_out", "0"},
       {.tensor = 2},
       {"eval.every=1, but the held-out"}},
  };
  const auto run_dir = [](std::size_t i) { return fmt::format("refused-{}", i); };
  std::vector<std::vector<std::string>> commands;
  for (std::size_t i = 0; i < refusals.size(); ++i) {
    Training training = refusals[i].layout;
    training.options = refusals[i].options;
    commands.push_back(training_words(scratch, run_dir(i), training));
  }
  const std::vector<Finished> finished = run_all(commands);
  for (std::size_t i = 0; i < refusals.size(); ++i) {
    for (const std::string& message : refusals[i].messages) expect_refused(finished[i], message);
    const fs::path run = scratch.path(run_dir(i));
    EXPECT_FALSE(fs::exists(run / "metrics.jsonl"));
    EXPECT_TRUE(!fs::exists(run / "checkpoints") || fs::is_empty(run / "checkpoints"));
  }
}

TEST(TrainCommand, RefusesToResumeWithOtherFixedOptions) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {}).status, 0);
  std::vector<std::string> words =
      training_words(scratch, "run", {.options = {"--train.seed", "5", "--data.held_out", "0.25"}});
  *(std::find(words.begin(), words.end(), "--model.hidden") + 1) = "64";
  const Finished finished = run(words);
  EXPECT_EQ(finished.status, 2) << finished.output;
  for (const char* const message : {"model.hidden=64, but it was 32", "train.seed=5, but it was 1",
                                    "data.held_out=0.25, but it was 0.05"}) {
    EXPECT_NE(finished.output.find(message), std::string::npos) << finished.output;
  }
}

TEST(TrainCommand, ReadsTheEnvironmentBeforeTheFile) {
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

// Two ranks, each with words of its own.
Finished run_pair(const std::vector<std::string>& first, const std::vector<std::string>& second) {
  std::vector<std::string> words{MASFORMER_SOURCE_DIR "/tests/support/mpirun", "1"};
  words.insert(words.end(), first.begin(), first.end());
  words.insert(words.end(), {":", "-n", "1"});
  words.insert(words.end(), second.begin(), second.end());
  return run(words);
}

std::vector<std::string> with(std::vector<std::string> words,
                              const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(TrainCommand, RefusesRanksWithDifferentOptions) {
  const Scratch scratch;
  const std::vector<std::string> train = rank_words(scratch, "run", {.data = 2});
  expect_refused(run_pair(with({"env", "MASFORMER_TRAIN_SEED=7"}, train),
                          with({"env", "MASFORMER_TRAIN_SEED=8"}, train)),
                 "rank 1: train.seed=8 here, but 7 on rank 0: give all ranks the same value");
  expect_refused(run_pair(with(train, {"--plan"}), train),
                 "rank 1: --plan=left out here, but given on rank 0");
}

// Each rank starts in its own folder, where the same name means another file.
TEST(TrainCommand, RefusesRanksThatReadOrWriteDifferentFiles) {
  const Scratch scratch;
  ASSERT_EQ(
      train(scratch, "old", {.options = {"--train.steps", "2", "--checkpoint.every", "1"}}).status,
      0);
  std::vector<std::vector<std::string>> in_folder;
  for (const int rank : {0, 1}) {
    const fs::path folder = scratch.path(rank == 0 ? "a" : "b");
    fs::create_directories(folder);
    fs::create_directory_symlink(checkpoint(scratch, "old", rank + 1), folder / "ck");
    in_folder.push_back({"env", "-C", folder.string()});
  }
  const auto run_apart = [&](const std::vector<std::string>& words) {
    return run_pair(with(in_folder[0], words), with(in_folder[1], words));
  };
  const Training two{.data = 2};
  for (const char* const option : {"--checkpoint.resume", "--checkpoint.init"}) {
    expect_refused(run_apart(with(rank_words(scratch, option, two), {option, "ck"})),
                   "rank 1: step=2 here, but 1 on rank 0");
  }
  expect_refused(
      run_apart({program(), "eval", "--checkpoint", "ck", "--data.path", scratch.store().string()}),
      "rank 1: step=2 here, but 1 on rank 0");
  std::vector<std::string> apart = rank_words(scratch, "run", two);
  *(std::find(apart.begin(), apart.end(), "--run.dir") + 1) = "run";
  expect_refused(run_apart(apart), "is not the folder that rank 0 writes to");
}

TEST(TrainCommand, RefusesGradientsInPlaceOfWeights) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {.options = {"--train.dump_gradients_at", "1"}}).status, 0);
  const std::string dump = (scratch.path("run") / "gradients" / "step-00000001").string();
  const std::string message = dump + " holds gradients, not the state of a training run";
  std::vector<std::vector<std::string>> commands;
  for (const std::string option : {"--checkpoint.init", "--checkpoint.resume"}) {
    commands.push_back(training_words(scratch, option, {.tensor = 2, .options = {option, dump}}));
  }
  for (const Finished& finished : run_all(commands)) expect_refused(finished, message);
  expect_refused(
      run({program(), "eval", "--checkpoint", dump, "--data.path", scratch.store().string()}),
      message);
}

TEST(TrainCommand, RefusesWeightsOfAnotherModel) {
  const Scratch scratch;
  const std::vector<std::string> untied{"--model.tied", "false", "--train.steps", "1"};
  ASSERT_EQ(train(scratch, "untied", {.options = untied}).status, 0);
  const std::string from = checkpoint(scratch, "untied", 1).string();
  const Training other{.tensor = 2,
                       .options = {"--checkpoint.init", from, "--model.spans", "full,window:8",
                                   "--model.heads", "2", "--model.attention_scale", "1/sqrt(d)"}};
  const Finished finished = train(scratch, "other", other);
  for (const char* const message :
       {"model.tied=true, but it was false", "model.layers=2, but it was 4",
        "model.heads=2, but it was 4", "model.attention_scale=0.25, but it was 1.0"}) {
    expect_refused(finished, message);
  }
}

// Without this check, ranks would fail at different times.
TEST(TrainCommand, RefusesPathsThatAreNotUtf8) {
  const Scratch scratch;
  expect_refused(train(scratch, "caf\xe9", {.tensor = 2}),
                 "the value of run.dir is not UTF-8: use a name that is");
}

class FullDisk : public testing::TestWithParam<Training> {};

TEST_P(FullDisk, FailsTheRunAndLeavesNoPartialCheckpoint) {
  const Scratch scratch;
  const fs::path small = scratch.path("small");
  fs::create_directories(small);
  if (run({"mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small.string()}).status != 0) {
    GTEST_SKIP() << "no small file system can be mounted here";
  }
  const Finished finished = train(scratch, "small", GetParam());
  std::string left;
  for (const auto& entry : fs::directory_iterator(small / "checkpoints")) {
    left += entry.path().filename().string() + " ";
  }
  run({"umount", small.string()});
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(finished.output.find("No space left on device"), std::string::npos) << finished.output;
  EXPECT_EQ(left, "");
}

// With data ranks, messages are still in flight when the save fails.
INSTANTIATE_TEST_SUITE_P(Layouts, FullDisk,
                         testing::Values(Training{.tensor = 2, .pipeline = 2},
                                         Training{.tensor = 2, .data = 2}),
                         [](const auto& layout) {
                           return layout.param.data > 1 ? "DataAndTensor" : "PipelineAndTensor";
                         });

}  // namespace
}  // namespace masformer::test
