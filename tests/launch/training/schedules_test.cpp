// `masformer train` under every schedule, and a resume from each under another.
#include "parallel/pipeline/schedules/schedules.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace masformer::test {
namespace {

Training with_schedule(const std::string& name, int chunks, int steps) {
  // 5 micro-batches: the stages do not divide them.
  Training training{
      .pipeline = 2,
      .options = {"--parallel.schedule", name, "--train.global_batch", "5", "--model.layers", "8",
                  "--model.spans", "full*2,window:16*6", "--checkpoint.every", "2",
                  "--checkpoint.keep", "0", "--train.steps", std::to_string(steps)}};
  if (chunks > 0) {
    training.options.insert(training.options.end(), {"--parallel.chunks", std::to_string(chunks)});
  }
  return training;
}

// Layouts differ by rounding alone; see the bounds of layout_test.cpp.
void expect_same_course(const Scratch& scratch, const std::string& a, const std::string& b) {
  const auto first = metrics(scratch, a), second = metrics(scratch, b);
  ASSERT_EQ(first.size(), second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    const double expected = first[i]["loss"];
    EXPECT_NEAR(second[i]["loss"].get<double>() / expected, 1, 5e-6) << "step " << i + 1;
  }
}

TEST(TrainUnderSchedules, GivesTheSameCourseAndResumesUnderAnother) {
  const Scratch scratch;
  const auto usual = train(scratch, "1f1b", with_schedule("1f1b", 0, 4));
  ASSERT_EQ(usual.status, 0) << usual.output;
  std::vector<std::pair<std::string, int>> others;
  for (const std::string& name : schedule_names()) others.emplace_back(name, 0);
  others.insert(others.end(), {{"interleaved", 4}, {"auto", 2}});
  for (std::size_t i = 0; i < others.size(); ++i) {
    const auto& [name, chunks] = others[i];
    const auto& [next, next_chunks] = others[(i + 1) % others.size()];
    const std::string run = name + std::to_string(chunks) + " run";
    SCOPED_TRACE(run + ", then " + next);
    const auto begun = train(scratch, run, with_schedule(name, chunks, 2));
    ASSERT_EQ(begun.status, 0) << begun.output;
    const auto resumed = train(scratch, run, with_schedule(next, next_chunks, 4));
    ASSERT_EQ(resumed.status, 0) << resumed.output;
    expect_same_course(scratch, "1f1b", run);
  }
}

TEST(TrainUnderSchedules, KeepsTheOrderThatAutoFound) {
  const Scratch scratch;
  const auto begun = train(scratch, "run", with_schedule("auto", 0, 2));
  ASSERT_EQ(begun.status, 0) << begun.output;
  EXPECT_NE(begun.output.find("auto: the order of a fixed schedule"), std::string::npos)
      << begun.output;
  const auto resumed = train(scratch, "run", with_schedule("auto", 0, 4));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_NE(resumed.output.find("auto: the order that the checkpoint records"), std::string::npos)
      << resumed.output;
}

}  // namespace
}  // namespace masformer::test
