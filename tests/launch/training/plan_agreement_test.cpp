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
      {"\"vocab\":301", [](RunPlan& plan) { ++plan.model.vocab; }},
      {"exchange of full layers=heads here, but ring on rank 0",
       [](RunPlan& plan) { plan.policy.context_full = ContextFull::heads; }},
      {"partition=3,1 here, but 2,2 on rank 0",
       [](RunPlan& plan) {
         plan.partition = {{0, 3}, {3, 4}};
       }},
      {"recomputation=none,block,none,none here, but none,none,none,none on rank 0",
       [](RunPlan& plan) { plan.policy.recompute[1] = Recompute::block; }},
      {"order of tokens=zigzag here, but contiguous on rank 0",
       [](RunPlan& plan) {
         plan.policy.sharding = SequenceSharding::zigzag(plan.policy.shape.sequence, 2);
       }},
      {"order of training on stage 0=",
       [](RunPlan& plan) { std::swap(plan.training.actions[0][0], plan.training.actions[0][1]); }},
      {"order of evaluation on stage 1=",
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

}  // namespace
}  // namespace masformer
