// The measured step of a pipeline, from recordings made by hand.
#include "launch/report/measured_step.h"

#include <gtest/gtest.h>

#include "tests/support/recordings.h"

namespace masformer::test {
namespace {

constexpr Action forward{ActionKind::forward, 0, 0}, backward{ActionKind::backward, 0, 0};

// Two stages on hosts whose clocks differ by a second. Step s takes 100 + 10 (s - 1) nanoseconds.
std::vector<Recording> two_stages(std::int64_t steps, std::int64_t second_offset = 1'000'000'000) {
  HandMadeRecording first({.rank = 0, .ranks = 4, .pipe = 0}, 5'000'000'000);
  HandMadeRecording second({.rank = 2, .ranks = 4, .pipe = 1}, 5'000'000'000 + second_offset);
  HandMadeRecording other({.rank = 1, .ranks = 4, .pipe = 0, .tensor = 1}, 0);
  for (std::int64_t step = 1; step <= steps; ++step) {
    const std::int64_t begin = 1000 * step, end = begin + 100 + 10 * (step - 1);
    first.add_action(step, forward, begin, begin + 20);
    first.add_message(step, "send", begin + 20, begin + 30);
    second.add_action(step, forward, begin + 30 - second_offset, begin + 50 - second_offset);
    second.add_action(step, backward, begin + 50 - second_offset, begin + 80 - second_offset);
    first.add_action(step, backward, begin + 85, end);
    other.add_action(step, forward, 1, 2);
  }
  return {first.get(), other.get(), second.get()};
}

TEST(MeasuredStep, IsTheMedianOnOneClock) {
  const auto step = median_step(two_stages(3));
  ASSERT_TRUE(step);
  EXPECT_EQ(step->step, 2);
  EXPECT_EQ(step->of, 3);
  EXPECT_EQ(step->stages, 2);
  EXPECT_NEAR(step->seconds(), 110e-9, 1e-15);
  ASSERT_EQ(step->bars.size(), 4U) << "of the first tensor ranks alone";
  const TimelineBar& last = step->bars.back();
  EXPECT_EQ(last.stage, 1);
  EXPECT_EQ(last.action, backward);
  EXPECT_NEAR(last.begin, 50e-9, 1e-15);
  EXPECT_NEAR(last.end, 80e-9, 1e-15);
}

TEST(MeasuredStep, LeavesOutStepsThatAreNotRecordedAsAWhole) {
  std::vector<Recording> ranks = two_stages(2);
  ranks[0].records.erase(ranks[0].records.begin());  // the ring has replaced it
  EXPECT_EQ(median_step(ranks)->step, 2);
  ranks = two_stages(2);
  ranks[2].records.back().end = Record::running;
  EXPECT_EQ(median_step(ranks)->step, 1);
  ranks = two_stages(2);
  ranks[2].records.back().fields.issued = true;  // when its device ran it is unknown
  EXPECT_EQ(median_step(ranks)->of, 1);
  ranks[2].records.front().end = Record::running;
  ranks[0].records.front().step = 0;  // of an evaluation
  const auto step = median_step(ranks);
  EXPECT_TRUE(!step || step->of == 1);
}

// Only the end of one step is left, of which each stage has one action.
TEST(MeasuredStep, IsNotTheRestOfAStep) {
  std::vector<Recording> ranks = two_stages(1);
  for (const std::size_t stage : {0, 2}) {
    ranks[stage].records.erase(ranks[stage].records.begin());
  }
  EXPECT_FALSE(median_step(ranks));
  const auto plan = [](std::size_t first, std::size_t second) {
    return nlohmann::json{{"actions", {std::vector(first, 0), std::vector(second, 0)}}};
  };
  EXPECT_FALSE(median_step(ranks, plan(2, 2)));
  EXPECT_TRUE(median_step(ranks, plan(1, 1)));
  ranks = two_stages(2);
  EXPECT_EQ(median_step(ranks, plan(2, 2))->of, 2);
  EXPECT_FALSE(median_step(ranks, plan(2, 3)));
  EXPECT_EQ(median_step(ranks, {{"actions", {7}}})->of, 2) << "a damaged plan tells nothing";
}

TEST(MeasuredStep, NeedsEachStage) {
  std::vector<Recording> ranks = two_stages(2);
  ranks.pop_back();
  EXPECT_FALSE(median_step(ranks)) << "the last stage is missing";
  ranks = two_stages(2);
  ranks.erase(ranks.begin());
  EXPECT_FALSE(median_step(ranks)) << "the first stage is missing";
  EXPECT_FALSE(median_step({}));
  EXPECT_FALSE(median_step(two_stages(0)));
}

TEST(MeasuredStep, IsBesideThePredictedOne) {
  RunFiles run{.label = "a run", .recordings = two_stages(1)};
  run.plan = {{"step_seconds", 0.5},
              {"actions",
               {{{"forward", 0, 0, 0.125, 0.25}, {"backward", 0, 0, 0.375, 0.4375}},
                {{"forward", 0, 0, 0.25, 0.3125}, {"backward", 0, 0, 0.3125, 0.34375}}}}};
  run.metrics.steps = {1};
  run.metrics.columns["step_seconds"] = {0.75};
  const std::vector<Timeline> timelines = timelines_of({run});
  ASSERT_EQ(timelines.size(), 2U);
  EXPECT_EQ(timelines[0].title, "predicted: 500 ms a step");
  EXPECT_EQ(timelines[0].stages, 2);
  EXPECT_EQ(timelines[0].step_end, 0.5);
  ASSERT_EQ(timelines[0].bars.size(), 4U);
  EXPECT_EQ(timelines[0].bars[0].begin, 0) << "the update before it is left out";
  EXPECT_EQ(timelines[0].bars[2].stage, 1);
  EXPECT_EQ(timelines[0].bars[2].end, 0.1875);
  EXPECT_EQ(timelines[1].title,
            "measured: 750 ms a step (step 1, the median of the last 1 recorded)");
  EXPECT_EQ(timelines[1].step_end, 0.75);
  EXPECT_EQ(timelines_of({run, run})[3].title, "a run: " + timelines[1].title);
  run.plan["actions"][0][0] = {"forward", "x"};
  EXPECT_EQ(timelines_of({run}).size(), 1U) << "a damaged plan";
}

}  // namespace
}  // namespace masformer::test
