// Ranks whose plans differ are told so before they wait for each other.
#include "launch/training/plan_agreement.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "launch/training/same_values.h"
#include "parallel/comm/collective_errors.h"
#include "tests/launch/plan/small_plan.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using namespace test;

RunPlan small_plan() {
  return plan_of([](Options& o) { o.parallel.pipeline = 2, o.parallel.schedule = "1f1b"; }, 2);
}

TEST(PlanAgreement, PassesEqualPlans) {
  EXPECT_NO_THROW(require_same_plan(world(), small_plan()));
}

TEST(PlanAgreement, SaysOnAllRanksWhatDiffers) {
  const std::pair<const char*, void (*)(RunPlan&)> changes[] = {
      {"the vocabulary=301 here, but 300 on rank 0", [](RunPlan& plan) { ++plan.model.vocab; }},
      {"the exchange of full layers=heads here, but ring on rank 0",
       [](RunPlan& plan) { plan.policy.context_full = ContextFull::heads; }},
      {"the partition=3,1 here, but 2,2 on rank 0",
       [](RunPlan& plan) {
         plan.partition = {{0, 3}, {3, 4}};
       }},
      {"the recomputation=none,block,none,none here, but none,none,none,none on rank 0",
       [](RunPlan& plan) { plan.policy.recompute[1] = Recompute::block; }},
      {"the order of tokens=zigzag here, but contiguous on rank 0",
       [](RunPlan& plan) {
         plan.policy.sharding = SequenceSharding::zigzag(plan.policy.shape.sequence, 2);
       }},
      {"the order of training on stage 0=",
       [](RunPlan& plan) { std::swap(plan.training.actions[0][0], plan.training.actions[0][1]); }},
      {"the order of evaluation on stage 1=",
       [](RunPlan& plan) { plan.evaluation.actions[1].pop_back(); }}};
  for (const auto& [words, change] : changes) {
    RunPlan plan = small_plan();
    if (world().rank() == 1) change(plan);
    try {
      require_same_plan(world(), plan);
      ADD_FAILURE() << words << " passed";
    } catch (const AgreedUsageError& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

std::string difference(const NamedValues& first, const NamedValues& second) {
  try {
    require_same_values(world(), world().rank() == 0 ? first : second, "mend it");
  } catch (const AgreedUsageError& error) {
    const std::string message = error.what();
    return message.substr(message.find(", ") + 2);
  }
  return "";
}

TEST(SameValues, ShowsWhereLongOnesDiffer) {
  const std::string head(100, 'a'), tail(100, 'z');
  EXPECT_EQ(difference({{"x", head + "1" + tail}}, {{"x", head + "2" + tail}}),
            "x=..." + std::string(20, 'a') + "2" + std::string(39, 'z') + "... here, but ..." +
                std::string(20, 'a') + "1" + std::string(39, 'z') + "... on rank 0: mend it");
}

TEST(SameValues, NamesAllThatDifferOrAreMissing) {
  EXPECT_EQ(difference({{"a", "1"}, {"b", "2"}, {"c", "3"}}, {{"c", "4"}, {"d", "5"}, {"a", "1"}}),
            "c=4 here, but 3 on rank 0\n"
            "d=5 here, but nothing on rank 0\n"
            "b=nothing here, but 2 on rank 0: mend it");
  EXPECT_EQ(difference({{"a", "1"}}, {{"a", "1"}}), "");
}

}  // namespace
}  // namespace masformer
