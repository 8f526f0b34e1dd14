// How jobs end after a request to stop: under `masformer run`, under plain mpirun, and without
// either.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/io/file.h"
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

// The wrapper blocks the signals before it starts mpirun.
void wait_for_child(const Process& process, const std::string& name) {
  for (int i = 0; i < 6000 && !process.has_child(name); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class StopSignal : public testing::TestWithParam<int> {};

TEST_P(StopSignal, EndsARunWithACheckpoint) {
  const Scratch scratch;
  Process process(training_words(scratch, "run", endless));
  wait_for_a_step(scratch);
  process.signal(GetParam());
  process.signal(GetParam());  // a terminal's Ctrl-C may come twice
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
  const int done = static_cast<int>(metrics(scratch, "run").size());
  EXPECT_TRUE(std::filesystem::exists(checkpoint(scratch, "run", done))) << finished.output;
  EXPECT_NE(finished.output.find(
                fmt::format("stopped by a signal after step {}; the same command continues from {}",
                            done, checkpoint(scratch, "run", done).string())),
            std::string::npos)
      << finished.output;
}

// With checkpoint.resume=none, the same command would set the run aside and start again.
TEST(StoppedRun, NamesTheOptionThatContinuesIt) {
  const Scratch scratch;
  Training anew = endless;
  anew.options.insert(anew.options.end(), {"--checkpoint.resume", "none"});
  Process process(training_words(scratch, "run", anew));
  wait_for_a_step(scratch);
  process.signal(SIGTERM);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
  EXPECT_NE(finished.output.find("; the same command with checkpoint.resume=auto continues from "),
            std::string::npos)
      << finished.output;
}

INSTANTIATE_TEST_SUITE_P(Signals, StopSignal,
                         testing::Values(SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU));

// Clusters announce the end of a job by several signals, some of them repeated, and leave time for
// a checkpoint between them.
TEST(StopSignals, SeveralInARowDoNotAbort) {
  const FakeMpirun mpirun("trap '' USR1; exec sleep 4");  // a long step
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  for (const int number : {SIGUSR1, SIGUSR1, SIGXCPU, SIGUSR2, SIGTERM, SIGHUP, SIGHUP}) {
    process.signal(number);
    std::this_thread::sleep_for(Seconds(0.3));
  }
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 0) << finished.output;  // the status of sleep
  EXPECT_EQ(finished.output,
            "\nmasformer: SIGUSR1: stopping after this step, with a checkpoint\n"
            "\nmasformer: SIGXCPU: stopping after this step, with a checkpoint\n"
            "\nmasformer: SIGUSR2: stopping after this step, with a checkpoint\n"
            "\nmasformer: SIGTERM: stopping after this step, with a checkpoint; repeat to abort\n"
            "\nmasformer: SIGHUP: stopping after this step, with a checkpoint\n");
}

// Some clusters signal every process of a job.
TEST(StopSignals, SentToMpirunDoNotEndItsRanks) {
  const Scratch scratch;
  Process process(training_words(scratch, "run", endless));
  wait_for_a_step(scratch);
  const pid_t mpirun = process.child("mpirun");
  ASSERT_GT(mpirun, 0);
  for (const int number : {SIGTERM, SIGHUP, SIGXCPU}) kill(mpirun, number);
  const std::size_t before = metrics(scratch, "run").size();
  std::this_thread::sleep_for(Seconds(1.5));  // longer than mpirun would give its ranks to end
  wait_for_steps(scratch, before + 5);
  EXPECT_GE(metrics(scratch, "run").size(), before + 5);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait().status, 3);
}

// The writing end of a named pipe, once somebody reads from it.
io::File open_for_writing(const std::string& pipe) {
  for (int i = 0; i < 6000; ++i) {
    try {
      return {pipe, O_WRONLY | O_NONBLOCK};
    } catch (const Error&) {  // no reader yet
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  fail("nobody reads from {}", pipe);
}

// Preparing a run may take minutes. Here it lasts until somebody writes the configuration file.
TEST(StopBeforeTheFirstStep, IsObeyedWhileARunIsPrepared) {
  const Scratch scratch;
  const std::string pipe = scratch.path("config").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const Training training{.tensor = 2, .options = {"--config", pipe}};
  for (const bool wrapped : {true, false}) {
    Process process(wrapped ? launched_words(scratch, "run", training)
                            : rank_words(scratch, "run", training));
    const io::File unwritten = open_for_writing(pipe);
    process.signal(SIGTERM);
    const auto asked = std::chrono::steady_clock::now();
    const Finished finished = process.wait();
    EXPECT_LT(Seconds(std::chrono::steady_clock::now() - asked).count(), 10);
    EXPECT_EQ(finished.status, 3) << finished.output;
    const std::string asks =
        "\nmasformer: SIGTERM: stopping after this step, with a checkpoint; repeat to abort\n";
    EXPECT_EQ(finished.output, (wrapped ? asks : "") +
                                   "masformer: stopped before the first step; nothing was lost\n");
    EXPECT_FALSE(std::filesystem::exists(scratch.path("run")));
  }
}

// srun may end a job whose rank 3 was stopped without letting any other rank say why.
TEST(StopBeforeTheFirstStep, IsToldByEveryRankThatMpirunDidNotStart) {
  const Scratch scratch;
  const std::string pipe = scratch.path("config").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::map<std::string, std::string> told{
      {"SLURM_PROCID", "masformer: rank 3: stopped before the first step; nothing was lost\n"},
      {"OMPI_COMM_WORLD_RANK", ""}};
  for (const auto& [variable, message] : told) {
    Process process({program(), "train", "--config", pipe}, {{variable, "3"}});
    const io::File unwritten = open_for_writing(pipe);
    process.signal(SIGUSR1);
    const Finished finished = process.wait();
    EXPECT_EQ(finished.status, 3) << finished.output;
    EXPECT_EQ(finished.output, message) << variable;
  }
}

// Before mpirun is ready, before the ranks are, and while they start.
TEST(StopBeforeTheFirstStep, IsNotLostWhileRanksStart) {
  const Scratch scratch;
  for (const int milliseconds : {30, 60, 120, 240, 480}) {
    Process process(training_words(scratch, "run", endless));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    process.signal(SIGTERM);
    const Finished finished = process.wait();
    // 143: the signal came before the wrapper itself was ready.
    EXPECT_TRUE(finished.status == 3 || finished.status == 143)
        << finished.status << " after " << milliseconds << " ms\n"
        << finished.output;
  }
}

TEST(StopByPlainMpirun, EndsARunWithACheckpoint) {
  const Scratch scratch;
  std::vector<std::string> words = rank_words(scratch, "run", endless);
  words.insert(words.begin(), {MASFORMER_SOURCE_DIR "/tests/support/mpirun", "2"});
  Process process(words);
  wait_for_a_step(scratch);
  process.signal(SIGUSR1);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 3) << finished.output;
}

// Only training has a checkpoint to write.
TEST(StopDuringEvaluation, ExitsWithAFailure) {
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

TEST(SecondSignal, AbortsTheJob) {
  const FakeMpirun mpirun("trap '' USR1; exec sleep 100");  // ignores the clean stop
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  process.wait_for("repeat to abort");
  std::this_thread::sleep_for(Seconds(0.3));  // sooner, it would count as the same Ctrl-C
  process.signal(SIGINT);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(
      finished.output.find("masformer: aborting\nmasformer: aborted as requested; the work since"),
      std::string::npos)
      << finished.output;
}

// If the signal kills mpirun after ranks were up, it is unknown how the ranks ended.
TEST(StopThatKillsMpirun, ExitsWithAFailure) {
  const FakeMpirun mpirun("sleep 3 >&- 2>&- & exec sleep 100");
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  const Finished finished = process.wait();
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_NE(
      finished.output.find("it is unknown whether the ranks ended cleanly; run the same command "
                           "with checkpoint.resume=auto to continue from the last checkpoint"),
      std::string::npos)
      << finished.output;
}

// When its ranks have ended and mpirun is about to, a signal would kill it and lose its status.
TEST(StopWhileMpirunEnds, LeavesItAlone) {
  const std::string ends = "sleep 0.3 >&- 2>&- & exec sleep 3";
  for (const bool second : {false, true}) {
    const FakeMpirun mpirun(second ? "trap '' USR1; " + ends : ends);
    Process process(mpirun.words, mpirun.environment);
    wait_for_child(process, "sleep");
    if (second) process.signal(SIGINT);
    std::this_thread::sleep_for(Seconds(1));
    process.signal(SIGINT);
    process.wait_for(second ? "aborting" : "repeat to abort");
    const Finished finished = process.wait();
    EXPECT_EQ(finished.status, 0) << finished.output;
  }
}

// The processes that start ranks on other hosts may end long before these ranks do.
TEST(StopOfRemoteRanks, IsSentAfterADelay) {
  const FakeMpirun mpirun("sleep 2 & wait; exec sleep 100");
  Process process(mpirun.words, mpirun.environment);
  wait_for_child(process, "sleep");
  process.signal(SIGINT);
  const Finished finished = process.wait(30);
  EXPECT_EQ(finished.status, 1) << finished.output;
}

// A script that replaces mpirun, and how the wrapper reports its end if no stop was requested.
struct Ending {
  const char* script;
  int status;
  const char* report;
};

class MpirunEnd : public testing::TestWithParam<Ending> {};

TEST_P(MpirunEnd, GivesTheStatusAndItsReason) {
  const FakeMpirun mpirun(GetParam().script);
  const Finished finished = Process(mpirun.words, mpirun.environment).wait();
  EXPECT_EQ(finished.status, GetParam().status) << finished.output;
  EXPECT_EQ(finished.output, GetParam().report);
}

INSTANTIATE_TEST_SUITE_P(
    Statuses, MpirunEnd,
    testing::Values(
        Ending{"exit 0", 0, ""}, Ending{"exit 1", 1, "masformer: the job failed\n"},
        Ending{"exit 2", 2, ""}, Ending{"exit 3", 3, ""},
        Ending{"exit 137", 1, "masformer: the job failed: mpirun ended with status 137\n"},
        Ending{"exit 138", 1, "masformer: the job failed: mpirun ended with status 138\n"},
        Ending{"kill -USR1 $$", 1,
               "masformer: mpirun was ended by signal 10 (User defined signal 1)\n"},
        Ending{"echo 'mpirun: Error: unknown option \"--bogus\"' >&2; exit 1", 2,
               "mpirun: Error: unknown option \"--bogus\"\n"},
        // Its child ends, but is never reaped.
        Ending{"sleep 0.1 & exec sleep 100", 1,
               "masformer: the ranks have ended but mpirun has not: killing it\n"
               "masformer: mpirun was ended by signal 9 (Killed)\n"},
        Ending{"echo why >&2; exit 1", 1, "why\nmasformer: the job failed\n"}));

// mpirun's own reasons reach the user, and no rank is blamed.
TEST(MpirunFailure, ReportsTheReason) {
  const auto expect_reason = [](const std::string& option, const std::string& reason,
                                int status = 1) {
    const Finished finished =
        run({program(), "run", "-n", "2", option, "/nowhere/at/all", "--", "train"});
    EXPECT_EQ(finished.status, status) << finished.output;
    EXPECT_NE(finished.output.find(reason), std::string::npos) << finished.output;
    EXPECT_EQ(finished.output.find("ended by signal"), std::string::npos) << finished.output;
  };
  expect_reason("--hostfile", "unable to open the hostfile:\n    /nowhere/at/all");
  expect_reason("--wdir", "/nowhere/at/all");
  expect_reason("--bogus", "unknown option \"--bogus\"", 2);
}

// nohup ignores the hang-up, and the wrapper leaves it ignored.
TEST(HangUp, IsIgnoredUnderNohup) {
  const Scratch scratch;
  std::vector<std::string> words = training_words(scratch, "run", endless);
  words.insert(words.begin(), "nohup");
  Process process(words);
  wait_for_a_step(scratch);
  const std::size_t before = metrics(scratch, "run").size();
  process.signal(SIGHUP);
  std::this_thread::sleep_for(Seconds(1.5));  // enough for a stop
  wait_for_steps(scratch, before + 5);
  EXPECT_GE(metrics(scratch, "run").size(), before + 5);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait().status, 3);
}

}  // namespace
}  // namespace masformer::test
