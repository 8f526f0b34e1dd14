// Ranks whose plans differ are told so before they wait for each other.
#include "launch/training/plan_agreement.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

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
      {"the partition is planned as 3,1, but on rank 0 as 2,2",
       [](RunPlan& plan) {
         plan.partition = {{0, 3}, {3, 4}};
       }},
      {"the recomputation", [](RunPlan& plan) { plan.policy.recompute[1] = Recompute::block; }},
      {"the order of tokens",
       [](RunPlan& plan) {
         plan.policy.sharding = SequenceSharding::zigzag(plan.policy.shape.sequence, 2);
       }},
      {"the exchange of full layers",
       [](RunPlan& plan) { plan.policy.context_full = ContextFull::heads; }},
      {"the schedule",
       [](RunPlan& plan) {
         std::swap(plan.training.actions[0][0].micro_batch,
                   plan.training.actions[0][1].micro_batch);
       }},
      {"the schedule", [](RunPlan& plan) { plan.evaluation.actions[1].pop_back(); }}};
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

}  // namespace
}  // namespace masformer
