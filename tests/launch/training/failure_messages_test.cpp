// What a run says of its failures: ranks, hosts, stages, figures and what is left.
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launch/training/device_choice.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

void expect_says(const Finished& finished, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(finished.output.find(part), std::string::npos) << part << "\n" << finished.output;
  }
}

TEST(FailureMessages, ALossThatIsNotFiniteNamesRanksAndWhatStays) {
  const Scratch scratch;
  const auto with = [](std::vector<std::string> options) {
    options.insert(options.end(), {"--train.weight_decay", "1e38", "--train.warmup_steps", "0",
                                   "--checkpoint.every", "-1"});
    return Training{.pipeline = 2, .data = 2, .options = std::move(options)};
  };
  const Finished early = train(scratch, "run", with({"--train.lr", "1e6"}));
  EXPECT_EQ(early.status, 1);
  expect_says(early, {"masformer: step ", "not finite, so the step was discarded; lower train.lr",
                      "\nthere is no checkpoint yet, so the run starts again\n"});
  ASSERT_EQ(train(scratch, "run", {.options = {"--train.steps", "2"}}).status, 0);
  const Finished late = train(scratch, "run", with({"--train.lr", "1e6", "--train.steps", "9"}));
  EXPECT_EQ(late.status, 1);
  expect_says(late, {"\nthe loss is not finite in the micro-batches of rank 2 on " + host_name() +
                         " (stage 1, data 0, context 0, tensor 0), rank 3 on ",
                     ": 2 of 2 ranks that compute it\n",
                     "\n" + checkpoint(scratch, "run", 2).string() +
                         " stays, and the run resumes from it\n"});
}

#ifndef MASFORMER_SANITIZED  // whose own memory would not fit
TEST(FailureMessages, AnAllocationThatFailsNamesTheRankAndThePlan) {
  const Scratch scratch;
  // 4 GiB of weights, which this machine may have, but not this process.
  const auto words = training_words(scratch, "run", {.options = {"--model.positions", "8388608"}});
  std::vector<std::string> limited{"sh", "-c", "ulimit -v 2000000; exec \"$@\"", "sh"};
  limited.insert(limited.end(), words.begin(), words.end());
  const Finished finished = run(limited);
  if (finished.status == 2) GTEST_SKIP() << "this machine has too little memory";
  EXPECT_EQ(finished.status, 1) << finished.output;
  expect_says(finished, {"masformer: rank 0 on " + host_name() +
                             " (stage 0, data 0, context 0, tensor 0) can't allocate the ",
                         " GiB of its plan: cannot allocate ", " GiB of host memory are available",
                         "\nmemory  ", "0: layers 0-3 "});
}
#endif

}  // namespace
}  // namespace masformer::test
