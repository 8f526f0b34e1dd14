// The program on a CUDA device, or on its double: what a run leaves behind is the same bits after a
// stop, though its results are read a step late, and goes on on a CPU.
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

constexpr int steps = 8;

Training on_device(Training training) {
  training.options = {
      "--runtime.device",     "cuda", "--runtime.deterministic", "true",
      "--model.hidden",       "16",   "--train.sequence",        "16",
      "--train.global_batch", "4",    "--train.steps",           std::to_string(steps)};
  return training;
}

Training with(Training training, const std::vector<std::string>& options) {
  training.options.insert(training.options.end(), options.begin(), options.end());
  return training;
}

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (device() == Device::cpu) GTEST_SKIP() << "the other tests are of CPUs";
    if (const auto missing = missing_device(); !missing.empty()) GTEST_SKIP() << missing;
  }
  // Why there is no device; "" where there is one.
  static std::string missing_device() {
    try {
      const Stream stream(device());
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  }

  const Scratch scratch_;
};

class OnDeviceUnder : public OnDevice, public testing::WithParamInterface<Training> {};

TEST_P(OnDeviceUnder, IsBitIdenticalAfterASignal) {
  const Training training = on_device(GetParam());
  const Finished whole = train(scratch_, "whole", training);
  ASSERT_EQ(whole.status, 0) << whole.output;
  ASSERT_EQ(std::ssize(metrics(scratch_, "whole")), steps);
  Process stopped(training_words(scratch_, "stopped", training));
  for (int i = 0; i < 6000 && metrics(scratch_, "stopped").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  stopped.signal(SIGTERM);
  const Finished first = stopped.wait();
  ASSERT_EQ(first.status, 3) << first.output;
  const auto done = static_cast<int>(metrics(scratch_, "stopped").size());
  EXPECT_LT(done, steps);
  EXPECT_TRUE(std::filesystem::exists(checkpoint(scratch_, "stopped", done)))
      << "what was saved is the step that was written last";
  ASSERT_EQ(train(scratch_, "stopped", training).status, 0);
  EXPECT_EQ(timeless_metrics(scratch_, "stopped"), timeless_metrics(scratch_, "whole"));
  EXPECT_EQ(worst_difference(checkpoint(scratch_, "stopped", steps),
                             checkpoint(scratch_, "whole", steps)),
            0);
}

INSTANTIATE_TEST_SUITE_P(Layouts, OnDeviceUnder,
                         testing::Values(Training{}, Training{.pipeline = 2}, Training{.data = 2}),
                         [](const auto& layout) {
                           return layout.param.pipeline > 1 ? "Pipeline"
                                  : layout.param.data > 1   ? "Data"
                                                            : "OneRank";
                         });

TEST_F(OnDevice, GoesOnOnACpuFromItsCheckpoint) {
  const Training training = with(on_device({.tensor = 2}), {"--checkpoint.every", "4"});
  const Finished whole = train(scratch_, "run", training);
  ASSERT_EQ(whole.status, 0) << whole.output;
  const auto there = metrics(scratch_, "run");
  std::filesystem::remove_all(checkpoint(scratch_, "run", steps));
  const Finished rest = train(scratch_, "run", with(training, {"--runtime.device", "cpu"}));
  ASSERT_EQ(rest.status, 0) << rest.output;
  const auto here = metrics(scratch_, "run");
  ASSERT_EQ(here.size(), there.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    const double loss = here[i].at("loss"), expected = there[i].at("loss");
    EXPECT_LT(std::abs(loss / expected - 1), 5e-6) << "step " << i + 1;
  }
}

// A step whose loss is no number is known of only when the next one's passes have been issued.
TEST_F(OnDevice, KeepsNothingOfAStepThatIsNotFinite) {
  const Finished finished = train(
      scratch_, "run", with(on_device({}), {"--train.lr", "1e6", "--train.weight_decay", "1e38"}));
  EXPECT_EQ(finished.status, 1);
  EXPECT_NE(finished.output.find("nothing of it was kept; lower train.lr"), std::string::npos)
      << finished.output;
  for (const auto& line : metrics(scratch_, "run")) EXPECT_TRUE(line.at("loss").is_number());
}

}  // namespace
}  // namespace masformer::test
