// What the processes of a run take beside its plan. The event `memory` has both for each stage.
#include <algorithm>

#include <gtest/gtest.h>

#include "launch/output/events.h"
#include "launch/training/memory_check.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

#ifndef MASFORMER_SANITIZED  // sanitizers take memory of their own
struct StageUse {
  std::int64_t planned = 0, process = 0;  // bytes of the rank that takes most
};

std::vector<StageUse> uses(const Scratch& scratch, const std::string& run_dir) {
  std::vector<StageUse> uses;
  for (const Event& event : read_events(scratch.path(run_dir) / "events.jsonl").events) {
    if (event.kind != EventKind::memory) continue;
    uses.clear();
    for (const nlohmann::json& stage : event.fields.at("stages")) {
      EXPECT_EQ(stage.at("allocated"), stage.at("planned"));
      uses.push_back({stage.at("planned").at("total"), stage.at("process_peak_bytes")});
    }
  }
  return uses;
}

class ProcessMemory : public testing::TestWithParam<Training> {};

// A run of small layers shows what the program and its libraries take. oneDNN takes some MiB more
// with larger layers.
TEST_P(ProcessMemory, IsThePlanAndLibraries) {
  const Scratch scratch;
  Training training = GetParam();
  const std::vector<std::string> common{
      "--model.spans", "full,window:64*7", "--train.steps", "1", "--checkpoint.every", "-1"};
  training.options.insert(training.options.end(), common.begin(), common.end());
  const Finished small = train(scratch, "small", training);
  ASSERT_EQ(small.status, 0) << small.output;
  training.options.insert(training.options.end(), {"--model.hidden", "256", "--train.sequence",
                                                   "1024", "--train.micro_batch", "4"});
  const Finished large = train(scratch, "large", training);
  ASSERT_EQ(large.status, 0) << large.output;

  const std::vector<StageUse> base = uses(scratch, "small"), taken = uses(scratch, "large");
  ASSERT_EQ(base.size(), static_cast<std::size_t>(training.pipeline));
  ASSERT_EQ(taken.size(), base.size());
  for (std::size_t stage = 0; stage < taken.size(); ++stage) {
    const auto [planned, process] = taken[stage];
    const std::int64_t libraries = base[stage].process - base[stage].planned;
    EXPECT_GT(planned, 128 << 20) << "stage " << stage << ": too little to tell from libraries";
    EXPECT_NEAR(static_cast<double>(process - libraries), static_cast<double>(planned),
                std::max(0.02 * static_cast<double>(planned), 8e6))
        << "stage " << stage << ": " << planned << " bytes planned, " << process << " taken, "
        << libraries << " of them by the program and its libraries";
    EXPECT_LE(process - planned, process_memory) << "stage " << stage;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, ProcessMemory,
    testing::Values(Training{.pipeline = 4,
                             .options = {"--parallel.partition", "1,2,2,3", "--train.global_batch",
                                         "16"}},
                    Training{.tensor = 2, .context = 2, .options = {"--train.global_batch", "4"}}));
#endif

}  // namespace
}  // namespace masformer::test
