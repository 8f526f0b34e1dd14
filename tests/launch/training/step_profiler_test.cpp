// train.profile_step: what the program prints of a step's time, on CPUs and on devices.
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/tensors.h"
#include "tests/support/training.h"

namespace masformer::test {
namespace {

Training profiled(Training layout, int step) {
  const std::vector<std::string> options{"--runtime.device",     std::string(name_of(device())),
                                         "--model.spans",        "full,window:8",
                                         "--model.hidden",       "16",
                                         "--train.sequence",     "16",
                                         "--train.global_batch", "4",
                                         "--train.steps",        "4",
                                         "--train.profile_step", std::to_string(step)};
  layout.options.insert(layout.options.end(), options.begin(), options.end());
  return layout;
}

// A table's rows, as ms by name.
using Table = std::map<std::string, double>;

// The number before the first share.
double milliseconds(const std::string& cells) {
  std::istringstream words(cells);
  std::string previous, word;
  while (words >> word && word.back() != '%') previous = word;
  return std::stod(previous);
}

// The table of ops and the table of layers of each profiled stage, in turn.
std::vector<Table> tables(const std::string& output) {
  constexpr std::size_t name_width = 30;
  std::vector<Table> all;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  op   ") || line.starts_with("  layer: ")) {
      all.emplace_back();
    } else if (!all.empty() && line.starts_with("  ") && line.find('%') != std::string::npos) {
      const std::string name = line.substr(2, line.find_last_not_of(' ', name_width - 1) - 1);
      all.back()[name] = milliseconds(line.substr(name_width));
    }
  }
  return all;
}

void expect_sum(const Table& table) {
  double sum = 0;
  for (const auto& [name, value] : table) {
    EXPECT_GE(value, name == "other" ? -0.002 : 0) << name;
    if (name != "total") sum += value;
  }
  const double rounding = 0.0005 * static_cast<double>(table.size());
  EXPECT_NEAR(sum, table.at("total"), rounding);
  EXPECT_GT(table.at("total"), 0);
}

void expect_rows(const Table& table, const std::vector<std::string>& names) {
  for (const std::string& name : names) EXPECT_EQ(table.count(name), 1u) << name;
}

TEST(StepProfiler, DoesNotEndARunWhoseProfileCannotBeWritten) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch.path("run") / "profile.json");
  const Finished finished = train(scratch, "run", profiled({}, 2));
  EXPECT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("warning: the profile is only printed: "), std::string::npos)
      << finished.output;
}

TEST(StepProfiler, PrintsWhereTheTimeOfEachStageWent) {
  const Scratch scratch;
  const Finished finished = train(scratch, "run", profiled({.pipeline = 2}, 3));
  ASSERT_EQ(finished.status, 0) << finished.output;
  const auto says = [&](const char* text) {
    EXPECT_NE(finished.output.find(text), std::string::npos) << text << "\n" << finished.output;
  };
  says("profile of step 3: stage 0 (layer 0), rank 0\n");
  says("profile of step 3: stage 1 (layer 1), rank 1\n");
  const std::vector<Table> all = tables(finished.output);
  ASSERT_EQ(all.size(), 4u) << finished.output;
  for (const Table& table : all) expect_sum(table);
  const std::vector<std::string> everywhere{
      "attention",   "attention_backward",     "layer_norm", "layer_norm_backward",
      "linear",      "linear_backward_input",  "fill_zero",  "add_sum_of_squares",
      "linear_gelu", "linear_backward_weight", "adamw",      "wait for other stages"};
  for (const std::size_t stage : {0u, 1u}) expect_rows(all[2 * stage], everywhere);
  expect_rows(all[0], {"embedding", "embedding_backward"});
  expect_rows(all[1], {"embedding", "attention full", "mlp", "outside of layers"});
  expect_rows(all[2], {"cross_entropy", "cross_entropy_backward"});
  expect_rows(all[3], {"attention window:8", "mlp", "head", "waits for other ranks"});
}

TEST(StepProfiler, ChangesNoBitOfTheRun) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "plain", profiled({.tensor = 2}, 0)).status, 0);
  const Finished finished = train(scratch, "profiled", profiled({.tensor = 2}, 2));
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_EQ(tables(finished.output).size(), 2u) << finished.output;
  EXPECT_EQ(timeless_metrics(scratch, "profiled"), timeless_metrics(scratch, "plain"));
  EXPECT_EQ(worst_difference(checkpoint(scratch, "profiled", 4), checkpoint(scratch, "plain", 4)),
            0);
}

TEST(StepProfiler, RefusesAStepAfterTheLast) {
  const Scratch scratch;
  const Finished finished = train(scratch, "run", profiled({}, 5));
  EXPECT_EQ(finished.status, 2);
  EXPECT_NE(finished.output.find("train.profile_step=5 is after the last step, train.steps=4"),
            std::string::npos)
      << finished.output;
}

TEST(StepProfiler, SaysThatAPastStepCannotBeProfiled) {
  const Scratch scratch;
  ASSERT_EQ(train(scratch, "run", profiled({.options = {"--checkpoint.every", "2"}}, 0)).status, 0);
  std::filesystem::remove_all(checkpoint(scratch, "run", 4));
  const Finished finished = train(scratch, "run", profiled({}, 2));
  ASSERT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(
      finished.output.find("train.profile_step=2 has no effect: this run starts after step 2\n"),
      std::string::npos)
      << finished.output;
  EXPECT_TRUE(tables(finished.output).empty());
}

}  // namespace
}  // namespace masformer::test
