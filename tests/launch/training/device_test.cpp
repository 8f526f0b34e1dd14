// Training on a CUDA device, or on a fake of one: a stopped run resumes bit-identically although
// the host reads each step's results one step later, and a device checkpoint resumes on a CPU.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launch/report/measured_step.h"
#include "launch/training/run_recorder.h"
#include "runtime/error.h"
#include "tests/support/tensors.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

constexpr int steps = 6;

Training with(Training training, const std::vector<std::string>& options) {
  training.options.insert(training.options.end(), options.begin(), options.end());
  return training;
}

Training on_device(const Training& training) {
  return with(training,
              {"--runtime.device", "cuda", "--runtime.deterministic", "true", "--model.spans",
               "full,window:8", "--model.hidden", "16", "--train.sequence", "16",
               "--train.global_batch", "4", "--train.steps", std::to_string(steps)});
}

bool nccl(const Training& training) {
  return std::ranges::count(training.options, "nccl") > 0;
}

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (device() == Device::cpu) GTEST_SKIP() << "other tests cover CPUs";
    if (const auto missing = missing_device(); !missing.empty()) GTEST_SKIP() << missing;
  }
  // Why there is no usable device; "" if there is one.
  static std::string missing_device() {
    try {
      const Stream stream(device());
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  }

  static bool is_fake() { return Stream(device()).device_stream()->name().starts_with("fake"); }

  const Scratch scratch_;
};

class OnDeviceUnder : public OnDevice, public testing::WithParamInterface<Training> {};

TEST_P(OnDeviceUnder, ResumesBitForBit) {
  if (nccl(GetParam()) && !is_fake()) GTEST_SKIP() << "NCCL needs a device per rank";
  const Training training = with(on_device(GetParam()), {"--checkpoint.every", "2"});
  const Finished whole = train(scratch_, "whole", training);
  ASSERT_EQ(whole.status, 0) << whole.output;
  ASSERT_EQ(std::ssize(metrics(scratch_, "whole")), steps);
  const auto lines = timeless_metrics(scratch_, "whole");
  std::filesystem::copy(scratch_.path("whole"), scratch_.path("stopped"),
                        std::filesystem::copy_options::recursive);
  for (const int later : {4, steps}) {
    EXPECT_GT(std::filesystem::remove_all(checkpoint(scratch_, "stopped", later)), 0u);
  }
  const Finished rest = train(scratch_, "stopped", training);
  ASSERT_EQ(rest.status, 0) << rest.output;
  EXPECT_NE(rest.output.find("resumes from"), std::string::npos) << rest.output;
  EXPECT_EQ(timeless_metrics(scratch_, "stopped"), lines);
  EXPECT_EQ(worst_difference(checkpoint(scratch_, "stopped", steps),
                             checkpoint(scratch_, "whole", steps)),
            0);
}

INSTANTIATE_TEST_SUITE_P(Layouts, OnDeviceUnder,
                         testing::Values(Training{}, Training{.data = 2},
                                         Training{.pipeline = 2,
                                                  .options = {"--runtime.transport", "nccl"}}),
                         [](const auto& layout) {
                           return layout.param.pipeline > 1 ? "PipelineByNccl"
                                  : layout.param.data > 1   ? "DataByTheHost"
                                                            : "OneRank";
                         });

// After a run that ended, every action has the times at which its device ran it.
TEST_P(OnDeviceUnder, RecordsWhenTheDeviceRanActions) {
  if (nccl(GetParam()) && !is_fake()) GTEST_SKIP() << "NCCL needs a device per rank";
  const Finished finished =
      train(scratch_, "run", with(on_device(GetParam()), {"--eval.every", "4"}));
  ASSERT_EQ(finished.status, 0) << finished.output;
  std::vector<Recording> ranks;
  for (int rank = 0; rank < GetParam().ranks(); ++rank) {
    ranks.push_back(read_recording(kept_recording(scratch_.path("run"), rank)));
    std::int64_t last = 0, step = 0;
    for (const Record& record : ranks.back().records) {
      // The clock is read once in each execution, and step 0 has several.
      if (std::exchange(step, record.step) != record.step || step == 0) last = 0;
      EXPECT_FALSE(record.fields.issued) << record.number;
      if (record.fields.group != no_name) continue;  // not an action
      EXPECT_GE(record.begin, last) << record.number;
      EXPECT_GE(record.end, record.begin) << record.number;
      last = record.end;
    }
  }
  const auto step = median_step(ranks);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->of, steps);
  EXPECT_EQ(step->stages, GetParam().pipeline);
}

// Counts how often the hosts of all ranks waited for their streams to be empty, in a run of a tiny
// model that saves nothing before its end.
int waits_for_ends(const Scratch& scratch, const Training& training, int run_steps) {
  const std::string name = fmt::format("{}-steps", run_steps);
  const std::filesystem::path file = scratch.path(name + "-waits");
  const Training tiny =
      with(training, {"--train.steps", std::to_string(run_steps), "--model.hidden", "8",
                      "--model.heads", "1", "--model.spans", "full*2", "--train.sequence", "8",
                      "--train.global_batch", "2", "--eval.windows", "1"});
  const Finished finished =
      run(training_words(scratch, name, tiny), {{"FAKE_CUDA_WAITS", file.string()}});
  EXPECT_EQ(finished.status, 0) << finished.output;
  std::ifstream lines(file);
  int sum = 0, ranks = 0;
  for (int count = 0; lines >> count; ++ranks) sum += count;
  EXPECT_EQ(ranks, training.ranks());
  return sum;
}

// A step's results are read after the next step was issued. Only an evaluation waits for its loss.
TEST_P(OnDeviceUnder, DoesNotWaitForTheDeviceWithinAStep) {
  if (!is_fake()) GTEST_SKIP() << "only the fake counts waits";
  const Training training = on_device(GetParam());
  if (training.ranks() > 1 && !nccl(training))
    GTEST_SKIP() << "messages through the host are waited for";
  constexpr int more_steps = 8;
  const int few = waits_for_ends(scratch_, training, 2);
  // One wait per step and rank would exceed this. With NCCL the number is not zero, because the
  // host polls while connections are made, and it varies.
  const int waited = few + more_steps;
  EXPECT_LT(waits_for_ends(scratch_, training, 2 + more_steps), waited);
  EXPECT_GE(waits_for_ends(scratch_, with(training, {"--eval.every", "1"}), 3 + more_steps),
            waited);
  // Timing a step does not wait either: its events are read after the next step was issued.
  EXPECT_LT(waits_for_ends(scratch_, with(training, {"--train.profile_step", "5"}), 4 + more_steps),
            waited + 2);
}

// After a signal, the checkpoint is that of the last step in the metrics, although another step was
// under way.
TEST_F(OnDevice, SavesTheLastWrittenStepOnASignal) {
  Process stopped(
      training_words(scratch_, "run", with(on_device({}), {"--train.steps", "1000000"})));
  for (int i = 0; i < 6000 && metrics(scratch_, "run").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  stopped.signal(SIGTERM);
  const Finished finished = stopped.wait();
  ASSERT_EQ(finished.status, 3) << finished.output;
  const auto done = static_cast<int>(metrics(scratch_, "run").size());
  EXPECT_TRUE(std::filesystem::exists(checkpoint(scratch_, "run", done)));
}

TEST_F(OnDevice, ResumesOnACpuFromItsCheckpoint) {
  const Training training = with(on_device({.tensor = 2}), {"--checkpoint.every", "4"});
  const Finished whole = train(scratch_, "run", training);
  ASSERT_EQ(whole.status, 0) << whole.output;
  const auto there = metrics(scratch_, "run");
  EXPECT_GT(std::filesystem::remove_all(checkpoint(scratch_, "run", steps)), 0u);
  const Finished rest = train(scratch_, "run", with(training, {"--runtime.device", "cpu"}));
  ASSERT_EQ(rest.status, 0) << rest.output;
  const auto here = metrics(scratch_, "run");
  ASSERT_EQ(here.size(), there.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    const double loss = here[i].at("loss"), expected = there[i].at("loss");
    EXPECT_LT(std::abs(loss / expected - 1), 5e-6) << "step " << i + 1;
  }
}

// NCCL is chosen if each rank has a device of its own, even if each rank sees its device as the
// first one.
TEST_F(OnDevice, ChoosesNcclOnlyForADevicePerRank) {
  if (!is_fake()) GTEST_SKIP() << "only the fake has a device for each rank";
  const auto words =
      training_words(scratch_, "run", with(on_device({.data = 2}), {"--train.steps", "1"}));
  const auto says = [](const Finished& finished, const std::string& text) {
    EXPECT_NE(finished.output.find(text), std::string::npos) << finished.output;
  };
  says(run(words), "transport through the host, by MPI\n");
  says(run(words, {{"MASFORMER_FAKE_CUDA_OWN", "part"}}), "transport through the host, by MPI\n");
  says(run(words, {{"MASFORMER_FAKE_CUDA_OWN", "device"}}), "transport NCCL\n");
}

// Slurm may bind devices to the nearer ranks: here even ranks see two devices, and odd ranks two
// others.
TEST_F(OnDevice, UsesADevicePerRankAmongThoseVisibleToIt) {
  if (!is_fake()) GTEST_SKIP() << "only the fake can hide devices";
  for (const auto& [shown, ranks] : {std::pair{"socket", 4}, {"more", 2}}) {
    const Finished finished = run(
        training_words(scratch_, "run", with(on_device({.data = ranks}), {"--train.steps", "1"})),
        {{"MASFORMER_FAKE_CUDA_OWN", shown}});
    EXPECT_NE(finished.output.find("transport NCCL\n"), std::string::npos) << finished.output;
  }
}

TEST_F(OnDevice, RefusesAModelThatDoesNotFit) {
  const Finished finished = run(training_words(
      scratch_, "run",
      with(on_device({}), {"--model.hidden", "4096", "--model.positions", "268435456"})));
  EXPECT_EQ(finished.status, 2);
  for (const char* const part :
       {"masformer: the rank on ", " GPU-", " GiB of memory, but only ", "\nmemory  ",
        "0: layers 0-1 ", "\n          including 512 MiB per rank reserved for libraries\n"}) {
    EXPECT_NE(finished.output.find(part), std::string::npos) << part << finished.output;
  }
}

// Tests are skipped if there is no device, so a broken device must not look like a missing one.
TEST_F(OnDevice, TellsABrokenDeviceFromNone) {
  if (!is_fake()) GTEST_SKIP() << "only the fake breaks on request";
  const auto finds = [&](const char* error) {
    return run(training_words(scratch_, "run", on_device({})),
               {{"MASFORMER_FAKE_CUDA_BROKEN", error}});
  };
  const Finished none = finds("100");  // cudaErrorNoDevice
  EXPECT_EQ(none.status, 2);
  EXPECT_EQ(none.output,
            "masformer: this machine has no CUDA device: no CUDA-capable device is detected; use "
            "runtime.device=cpu\n");
  const Finished broken = finds("802");  // cudaErrorSystemNotReady
  EXPECT_EQ(broken.status, 1);
  EXPECT_NE(broken.output.find("masformer: this machine's CUDA devices can't be used: system not "
                               "yet initialized (cudaErrorSystemNotReady); its driver is for CUDA"),
            std::string::npos)
      << broken.output;
}

// The loss of a step is known only after the next step's passes were issued.
TEST_F(OnDevice, KeepsNothingOfAStepWhoseLossIsNotFinite) {
  const Finished finished = train(
      scratch_, "run", with(on_device({}), {"--train.lr", "1e6", "--train.weight_decay", "1e38"}));
  EXPECT_EQ(finished.status, 1);
  EXPECT_NE(finished.output.find("not finite, so the step was discarded; lower train.lr"),
            std::string::npos)
      << finished.output;
  for (const auto& line : metrics(scratch_, "run")) EXPECT_TRUE(line.at("loss").is_number());
  EXPECT_FALSE(std::filesystem::exists(scratch_.path("run") / "checkpoints" / "step-00000002"));
}

}  // namespace
}  // namespace masformer::test
