// Resuming under one layout from a checkpoint of another, for pairs of layouts and for a chain of
// them. The resumed run has the loss curve and the final state of an uninterrupted run; bit for bit
// if the layout did not change. MASFORMER_RESUME_PAIRS is the number of pairs, or "all"; by default
// a sample that changes daily.
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/day_sample.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

constexpr int quarter = 5, half = 10, whole = 20;  // steps

const std::map<std::string, Training> layouts{
    {"one rank", {}},
    {"tensor 4", {.tensor = 4}},
    {"pipeline 2", {.pipeline = 2, .options = {"--parallel.partition", "1,3"}}},
    {"pipeline 4", {.pipeline = 4, .options = {"--parallel.schedule", "gpipe"}}},
    {"data 3", {.data = 3, .options = {"--train.micro_batch", "2"}}},
    {"tensor 2 x pipeline 2",
     {.tensor = 2, .pipeline = 2, .options = {"--parallel.sequence_parallel", "false"}}},
    {"data 2 x tensor 2", {.tensor = 2, .data = 2}},
    {"context 3", {.context = 3}},
    {"context 3 with recomputation",
     {.context = 3,
      .options = {"--train.micro_batch", "2", "--train.recompute", "selective", "--train.ffn_block",
                  "7"}}},
    {"pipeline 2 x data 2", {.pipeline = 2, .data = 2, .options = {"--train.recompute", "block"}}}};

class ResumePairs : public testing::Test {
 protected:
  // A run that never stopped and has a checkpoint at half of its steps. Trained once.
  std::string whole_run(const std::string& name) {
    if (trained_.insert(name).second) finish(name, name);
    return name;
  }

  // Trains `run_dir` to its last step, and returns the output.
  std::string finish(const std::string& run_dir, const std::string& name) {
    Training training = layouts.at(name);
    training.options.insert(training.options.end(), positions_.begin(), positions_.end());
    // 2 divides neither 45 tokens nor 257 words, and 3 divides no width.
    for (const char* const word : {"--train.sequence", "45", "--train.global_batch", "12",
                                   "--checkpoint.every", "5", "--checkpoint.keep", "0"}) {
      training.options.emplace_back(word);
    }
    const Finished finished = train(scratch_, run_dir, training);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return finished.output;
  }

  // A copy of the run `name` as it was after half of its steps.
  std::string copy_of_half(const std::string& name) {
    const std::string copy = "copy";
    fs::remove_all(scratch_.path(copy));
    fs::create_directories(scratch_.path(copy) / "checkpoints");
    fs::copy(scratch_.path(name) / "metrics.jsonl", scratch_.path(copy) / "metrics.jsonl");
    fs::copy(checkpoint(scratch_, name, half), checkpoint(scratch_, copy, half),
             fs::copy_options::recursive | fs::copy_options::create_hard_links);
    return copy;
  }

  void expect_same_bits(const std::string& run, const std::string& reference) {
    EXPECT_EQ(timeless_metrics(scratch_, run), timeless_metrics(scratch_, reference));
    EXPECT_EQ(difference(run, reference), 0);
  }

  void expect_same_curve(const std::string& run, const std::string& reference) {
    const auto found = metrics(scratch_, run), expected = metrics(scratch_, reference);
    ASSERT_EQ(found.size(), whole);
    for (std::size_t i = 0; i < whole; ++i) {
      EXPECT_EQ(found[i]["step"], i + 1);
      const double ratio = found[i]["loss"].get<double>() / expected[i]["loss"].get<double>();
      EXPECT_NEAR(ratio, 1, 5e-6) << "step " << i + 1;
    }
    // Weights and both moments, within the bound for a gradient tensor, by norm.
    EXPECT_LT(difference(run, reference), 5e-6);
  }

  Scratch scratch_;
  std::vector<std::string> positions_;  // options of all runs

 private:
  double difference(const std::string& run, const std::string& reference) {
    return worst_difference(checkpoint(scratch_, run, whole),
                            checkpoint(scratch_, reference, whole));
  }

  std::set<std::string> trained_;
};

std::vector<std::pair<std::string, std::string>> all_pairs() {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [from, first] : layouts) {
    for (const auto& [under, second] : layouts) pairs.emplace_back(from, under);
  }
  return pairs;
}

TEST_F(ResumePairs, EqualARunThatNeverStopped) {
  for (const auto& [from, under] : sample(all_pairs(), "MASFORMER_RESUME_PAIRS", 4, today())) {
    SCOPED_TRACE("from " + from + " under " + under);
    const std::string run = copy_of_half(whole_run(from));
    EXPECT_NE(finish(run, under).find("resumes from"), std::string::npos);
    if (from == under) {
      expect_same_bits(run, from);
    } else {
      expect_same_curve(run, whole_run("one rank"));
    }
  }
}

// The angles of rotary positions do not depend on the layout, and their model has no position
// table.
TEST_F(ResumePairs, OfRotaryPositionsEqualARunThatNeverStopped) {
  positions_ = {"--model.positions_kind",      "rotary", "--model.rotary_theta", "5000",
                "--model.rotary_theta_window", "100"};
  for (const auto& [from, under] : {std::pair{"context 3", "tensor 2 x pipeline 2"},
                                    std::pair{"data 2 x tensor 2", "context 3"}}) {
    SCOPED_TRACE(std::string("from ") + from + " under " + under);
    const std::string run = copy_of_half(whole_run(from));
    EXPECT_NE(finish(run, under).find("resumes from"), std::string::npos);
    expect_same_curve(run, whole_run("one rank"));
  }
}

// An error that is below the bound in one resume would add up over several.
TEST_F(ResumePairs, ChainedResumesEqualARunThatNeverStopped) {
  const std::string run = "chain";
  int step = 0;
  for (const char* const name :
       {"data 3", "tensor 2 x pipeline 2", "data 2 x tensor 2", "pipeline 4"}) {
    SCOPED_TRACE(name);
    const std::string said = finish(run, name);
    const std::string from = "resumes from " + checkpoint(scratch_, run, step).string() + ",";
    EXPECT_EQ(said.find(from) != std::string::npos, step > 0) << said;
    // Each run trains to the end, since `train.steps` shapes the learning rate; then all but a
    // quarter of its steps is removed.
    step += quarter;
    for (int later = step + quarter; later <= whole; later += quarter) {
      EXPECT_GT(fs::remove_all(checkpoint(scratch_, run, later)), 0u) << later;
    }
  }
  expect_same_curve(run, whole_run("one rank"));
}

}  // namespace
}  // namespace masformer::test
