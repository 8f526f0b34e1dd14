// When a run writes checkpoints.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

bool has_checkpoints(const Scratch& scratch) {
  return !fs::is_empty(scratch.path("run") / "checkpoints");
}

TEST(Checkpointer, WritesOneAfterTheLastStepByDefault) {
  const Scratch scratch;
  const Training training{.options = {"--train.steps", "3", "--checkpoint.every", "0"}};
  const Finished finished = train(scratch, "run", training);
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_TRUE(fs::exists(checkpoint(scratch, "run", 3)));
  EXPECT_FALSE(fs::exists(checkpoint(scratch, "run", 1)));
}

TEST(Checkpointer, WritesNoneWhereEveryIsMinusOne) {
  const Scratch scratch;
  const Training training{.options = {"--train.steps", "3", "--checkpoint.every", "-1"}};
  const Finished finished = train(scratch, "run", training);
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_EQ(metrics(scratch, "run").size(), 3u);
  EXPECT_FALSE(has_checkpoints(scratch));
  EXPECT_NE(finished.output.find("done: 3 steps; metrics are in "), std::string::npos)
      << finished.output;
}

TEST(Checkpointer, SavesOnASignalThoughEveryIsMinusOne) {
  const Scratch scratch;
  Process process(training_words(
      scratch, "run",
      {.tensor = 2, .options = {"--train.steps", "1000000", "--checkpoint.every", "-1"}}));
  for (int i = 0; i < 6000 && metrics(scratch, "run").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  process.signal(SIGTERM);
  const Finished finished = process.wait();
  ASSERT_EQ(finished.status, 3) << finished.output;
  const auto done = static_cast<int>(metrics(scratch, "run").size());
  EXPECT_TRUE(fs::exists(checkpoint(scratch, "run", done))) << finished.output;
}

}  // namespace
}  // namespace masformer::test
