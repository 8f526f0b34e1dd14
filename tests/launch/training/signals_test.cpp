// How `masformer run` and plain mpirun end a job that is asked to stop.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_mpirun.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

using Seconds = std::chrono::duration<double>;

// More steps than any of these tests waits for.
const Training endless{.tensor = 2, .options = {"--train.steps", "1000000"}};

void wait_for_steps(const Scratch& scratch, std::size_t steps) {
  for (int i = 0; i < 6000 && metrics(scratch, "run").size() < steps; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void wait_for_a_step(const Scratch& scratch) {
  wait_for_steps(scratch, 1);
}

// The wrapper holds the signals back before it starts mpirun.
void wait_for_child(const Process& process, const std::string& name) {
  for (int i = 0; i < 6000 && !process.has_child(name); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class Stop : public testing::TestWithParam<int> {};

TEST_P(Stop, EndsWithACheckpoint) {
  const Scratch scratch;
  Process process(training_words(scratch, "run", endless));
  wait_for_a_step(scratch);
  process.signal(GetParam());
  process.signal(GetParam());  // a terminal's Ctrl-C may come twice
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
  const int done = static_cast<int>(metrics(scratch, "run").size());
  EXPECT_TRUE(std::filesystem::exists(checkpoint(scratch, "run", done))) << finished.output;
}

INSTANTIATE_TEST_SUITE_P(Signals, Stop, testing::Values(SIGINT, SIGTERM, SIGHUP));

// Before mpirun is ready, before the ranks are, and while they start.
TEST(StopEarly, IsNotLost) {
  const Scratch scratch;
  for (const int milliseconds : {30, 60, 120, 240, 480}) {
    Process process(training_words(scratch, "run", endless));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    process.signal(SIGTERM);
    const Finished finished = process.wait();
    // 143: before the wrapper itself was ready.
    EXPECT_TRUE(finished.status == 3 || finished.status == 143)
        << finished.status << " after " << milliseconds << " ms\n"
        << finished.output;
  }
}

TEST(StopByMpirun, EndsWithACheckpoint) {
  const Scratch scratch;
  std::vector<std::string> words = training_words(scratch, "run", endless);
  words.erase(words.begin() + 1, words.begin() + 5);
  words.insert(words.begin(), {MASFORMER_SOURCE_DIR "/tests/support/mpirun", "2"});
  Process process(words);
  wait_for_a_step(scratch);
  process.signal(SIGUSR1);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
}

// Nothing but training has a checkpoint to write.
TEST(StopOfAnEvaluation, IsAFailure) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", {}).status, 0);
  Process process({program(), "run", "-n", "1", "--", "eval", "--checkpoint",
                   checkpoint(scratch, "run", 20).string(), "--data.path", scratch.store().string(),
                   "--eval.split", "all", "--train.sequence", "2"});
  wait_for_child(process, "mpirun");
  process.signal(SIGTERM);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(finished.output.find("masformer: stopped\n"), std::string::npos) << finished.output;
}

TEST(SecondSignal, EndsAtOnce) {
  const FakeMpirun mpirun("trap '' USR1; exec sleep 100");  // it never comes to a clean stop
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  process.wait_for("once more");
  std::this_thread::sleep_for(Seconds(0.3));  // sooner it would be the first, come twice
  process.signal(SIGINT);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(finished.output.find("ends at once\nmasformer: ended at once, as was asked"),
            std::string::npos)
      << finished.output;
}

// An mpirun that dies of the signal when ranks have been up knows not how these ended.
TEST(StopTooLate, IsNoCleanStop) {
  const FakeMpirun mpirun("sleep 3 >&- 2>&- & exec sleep 100");
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(finished.output.find("how its ranks ended is not known; the same command goes on from"),
            std::string::npos)
      << finished.output;
}

// Its ranks have ended, and it is about to: any signal would kill it, and its status be lost.
TEST(StopInMpirunsEnd, LeavesItAlone) {
  const std::string ends = "sleep 0.3 >&- 2>&- & exec sleep 3";
  for (const bool second : {false, true}) {
    const FakeMpirun mpirun(second ? "trap '' USR1; " + ends : ends);
    Process process(mpirun.words, mpirun.environment);
    wait_for_child(process, "sleep");
    if (second) process.signal(SIGINT);
    std::this_thread::sleep_for(Seconds(1));
    process.signal(SIGINT);
    process.wait_for(second ? "ends at once" : "once more");
    const Finished finished = process.wait();
    EXPECT_EQ(finished.status, 0) << finished.output;
  }
}

// What has started the ranks on other hosts may be gone long before these are.
TEST(StopOfRanksElsewhere, IsSentAfterAWhile) {
  const FakeMpirun mpirun("sleep 2 & wait; exec sleep 100");
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  const Finished finished = process.wait(30);
  EXPECT_EQ(finished.status, 1) << finished.output;
}

// What stands in for mpirun, and what the wrapper makes of its end when nobody asked for one.
struct Ending {
  const char* script;
  int status;
  const char* report;
};

class MpirunsEnd : public testing::TestWithParam<Ending> {};

TEST_P(MpirunsEnd, IsNoStopThatWasAskedFor) {
  const FakeMpirun mpirun(GetParam().script);
  const Finished finished = Process(mpirun.words, mpirun.environment).wait();
  EXPECT_EQ(finished.status, GetParam().status) << finished.output;
  EXPECT_EQ(finished.output, GetParam().report);
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, MpirunsEnd,
    testing::Values(
        Ending{"exit 0", 0, ""}, Ending{"exit 1", 1, "masformer: the job failed\n"},
        Ending{"exit 2", 2, ""}, Ending{"exit 3", 3, ""},
        Ending{"exit 137", 1, "masformer: the job failed: mpirun ended with status 137\n"},
        Ending{"exit 138", 1, "masformer: the job failed: mpirun ended with status 138\n"},
        Ending{"kill -USR1 $$", 1,
               "masformer: mpirun was ended by signal 10 (User defined signal 1)\n"},
        // Its child ends, and nobody waits for it.
        Ending{"sleep 0.1 & exec sleep 100", 1,
               "masformer: the ranks have ended, and mpirun does not: ends it\n"
               "masformer: mpirun was ended by signal 9 (Killed)\n"},
        Ending{"echo why >&2; exit 1", 1, "why\nmasformer: the job failed\n"}));

// mpirun's own reasons reach the user, and no rank is blamed.
TEST(MpirunsFailure, SaysWhy) {
  const auto expect_reason = [](const std::string& option, const std::string& reason) {
    const Finished finished =
        run({program(), "run", "-n", "2", option, "/nowhere/at/all", "--", "train"});
    EXPECT_EQ(finished.status, 1) << finished.output;
    EXPECT_NE(finished.output.find(reason), std::string::npos) << finished.output;
    EXPECT_NE(finished.output.find("/nowhere/at/all"), std::string::npos) << finished.output;
    EXPECT_EQ(finished.output.find("ended by signal"), std::string::npos) << finished.output;
  };
  expect_reason("--hostfile", "unable to open the hostfile");
  expect_reason("--wdir", "working directory");
}

// nohup has the hang-up ignored, and the wrapper leaves it so.
TEST(HangUp, IsIgnoredUnderNohup) {
  const Scratch scratch;
  std::vector<std::string> words = training_words(scratch, "run", endless);
  words.insert(words.begin(), "nohup");
  Process process(words);
  wait_for_a_step(scratch);
  const std::size_t before = metrics(scratch, "run").size();
  process.signal(SIGHUP);
  std::this_thread::sleep_for(Seconds(1.5));  // time for a stop, had it been one
  wait_for_steps(scratch, before + 5);
  EXPECT_GE(metrics(scratch, "run").size(), before + 5);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait().status, 3);
}

}  // namespace
}  // namespace masformer::test
