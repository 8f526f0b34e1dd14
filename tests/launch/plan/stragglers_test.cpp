#include "launch/plan/stragglers.h"

#include <gtest/gtest.h>

#include "launch/plan/prediction.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;
using Factors = std::vector<double>;

TEST(ParseStragglers, GivesEachStageItsFactor) {
  EXPECT_EQ(parse_stragglers("2:1.5,0:0.5", 3), (Factors{0.5, 1, 1.5}));
  EXPECT_EQ(parse_stragglers(" 1 : 2 ", 2), (Factors{1, 2}));
}

TEST(ParseStragglers, RefusesWhatNamesNoStageAndFactor) {
  const auto message = [](const char* list) { return refusal([&] { parse_stragglers(list, 2); }); };
  for (const char* const entry :
       {"1", "1:", ":2", "1:0", "1:-2", "1:nan", "1:inf", "1:1e7", "a:2", "1.5:2", "1:2:3"}) {
    EXPECT_EQ(message(entry), std::string("straggler: \"") + entry +
                                  "\" is not a stage and a factor above 0, at most 1000000: write "
                                  "as in 2:1.5,3:2");
  }
  EXPECT_EQ(
      message("2:2"),
      "straggler=2:2 names stage 2, but the last pipeline stage is at most 1: name another, or "
      "change parallel.pipeline");
  EXPECT_EQ(message("1:2,1:3"), "straggler=1:2,1:3 names stage 1 twice");
  EXPECT_EQ(message("1:1"),
            "straggler=1:1 slows no stage: write a factor other than 1, as in 2:1.5,3:2");
  EXPECT_EQ(message("1:2,"), "straggler \"1:2,\" has an empty entry: write as in 2:1.5,3:2");
}

class StragglingStep : public testing::Test {
 protected:
  StragglingStep() {
    Options o;
    o.model.spans = "window:16*4";
    o.model.hidden = 64, o.train.sequence = 64;
    o.parallel.pipeline = 2;
    plan_ = make_run_plan(o, 2, 300);
  }

  double seconds(const Factors& factors) const {
    return straggling_step_seconds(plan_, figures_, times_, factors);
  }

  const DeviceFigures& figures_ = figures_named("cpu");
  EstimatedTimes times_{figures_};
  RunPlan plan_;
};

TEST_F(StragglingStep, IsThePredictionIfNoStageIsSlow) {
  EXPECT_EQ(seconds({1, 1}), predict(plan_, figures_, times_).step_seconds());
}

// What does not slow down is messages and the norm.
TEST_F(StragglingStep, ScalesWithAllStagesButForMessages) {
  EXPECT_LT(seconds({3, 3}), 3 * seconds({1, 1}));
  EXPECT_NEAR(seconds({3e5, 3e5}) / seconds({1e5, 1e5}), 3, 1e-3);
}

// The slow stage takes part in every micro-batch.
TEST_F(StragglingStep, IsAtLeastTheSlowStagesOwnTime) {
  const Prediction prediction = predict(plan_, figures_, times_);
  for (const std::size_t slow : {0, 1}) {
    Factors factors{1, 1};
    factors[slow] = 4;
    EXPECT_GT(seconds(factors), 4 * plan_.micro_batches * prediction.stages[slow].seconds);
    EXPECT_LT(seconds(factors), 4 * prediction.step_seconds());
  }
}

}  // namespace
}  // namespace masformer
