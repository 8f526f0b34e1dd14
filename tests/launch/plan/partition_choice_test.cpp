// The partition and the recomputation that a plan gets where the options leave them open.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "launch/plan/describe.h"
#include "launch/plan/prediction.h"
#include "launch/plan/run_plan.h"
#include "launch/plan/schedule_choice.h"
#include "runtime/error.h"
#include "tests/support/refusal.h"

namespace masformer {
namespace {

using namespace test;

constexpr std::int64_t store_vocab = 300;

// Full layers at one end, whose attention dominates.
Options bunched(int stages) {
  Options o;
  o.model.spans = "full*4,window:64*12";
  o.model.hidden = 128;
  o.model.heads = 4;
  o.train.sequence = 4096;
  o.train.global_batch = 8;
  o.parallel.pipeline = stages;
  return o;
}

RunPlan plan_of(const Options& options, const PlanInputs& inputs = {}) {
  return make_run_plan(options, static_cast<int>(options.parallel.pipeline), store_vocab, inputs);
}

double slowest_share(const std::vector<double>& seconds) {
  return *std::max_element(seconds.begin(), seconds.end()) /
         std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

std::int64_t bytes_of(const RunPlan& plan, int stage) {
  return largest_memory(plan, stage, Purpose::training).total();
}

std::int64_t largest_bytes(const RunPlan& plan) {
  std::int64_t largest = 0;
  for (int stage = 0; stage < plan.mesh.pipe; ++stage) {
    largest = std::max(largest, bytes_of(plan, stage));
  }
  return largest;
}

double gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

// The start page's figures are those of plan.json, and none is worse than even parts. (The order of
// tokens and that of `auto` are chosen later.)
TEST(PartitionChoice, IsNeverPredictedToBeSlowerThanEvenParts) {
  const DeviceFigures& figures = figures_named("cpu");
  constexpr int replicas = 2;
  const auto plan_of = [&](const Options& options) {
    return make_run_plan(options, replicas * static_cast<int>(options.parallel.pipeline),
                         store_vocab);
  };
  const auto predicted = [&](const Options& options) {
    const RunPlan plan = plan_of(options);
    return predict(plan, figures, EstimatedTimes(figures, plan.policy.context_full)).step_seconds();
  };
  int shorter = 0;
  for (const char* const schedule : {"gpipe", "interleaved", "zero-bubble", "zero-bubble-v"}) {
    for (const int stages : {2, 4}) {
      for (const char* const spans : {"full*4,window:64*12", "window:64*7,full,window:64*8"}) {
        Options o = bunched(stages);
        o.model.spans = spans;
        o.parallel.schedule = schedule;
        const double found = predicted(o);
        const Forecast forecast = plan_of(o).forecast;
        EXPECT_NEAR(forecast.step_seconds, found, 1e-9 * found) << schedule;
        o.parallel.partition = "even";
        const double even = predicted(o);
        EXPECT_NEAR(forecast.even_step_seconds, even, 1e-9 * even) << schedule;
        EXPECT_LE(found, even * (1 + 1e-9)) << schedule << " on " << stages << ", " << spans;
        shorter += found < 0.98 * even ? 1 : 0;
      }
    }
  }
  EXPECT_GT(shorter, 4);
}

TEST(PartitionChoice, GivesFewerBlocksToTheStageWithTheFullLayers) {
  for (const int stages : {2, 4}) {
    const RunPlan plan = plan_of(bunched(stages));
    EXPECT_LT(plan.partition.front().size(), 16 / stages);
    EXPECT_LT(slowest_share(plan.forecast.stage_seconds),
              slowest_share(plan.forecast.even_stage_seconds));
    EXPECT_LT(plan.forecast.step_seconds, 0.95 * plan.forecast.even_step_seconds);
    const std::string text = describe(plan);
    EXPECT_NE(text.find("partition auto; by the cost model a step takes "), std::string::npos);
    EXPECT_NE(text.find("less than with even stages\n          stage 0: layers 0-"),
              std::string::npos)
        << text;
  }
}

TEST(PartitionChoice, IsTheSameEveryTimeAndLeavesWhatIsSet) {
  EXPECT_EQ(plan_of(bunched(4)).partition, plan_of(bunched(4)).partition);
  Options even = bunched(2);
  even.parallel.partition = "even";
  EXPECT_EQ(counts_of(plan_of(even).partition), (std::vector<int>{8, 8}));
  even.parallel.partition = "3,13";
  const RunPlan set = plan_of(even);
  EXPECT_EQ(counts_of(set.partition), (std::vector<int>{3, 13}));
  EXPECT_EQ(set.forecast.source, "as set");
}

TEST(PartitionChoice, OfEqualBlocksWithASmallHeadIsEven) {
  Options options = bunched(4);
  options.model.spans = "full*16";
  const RunPlan plan = plan_of(options);
  EXPECT_EQ(plan.partition, even_partition(16, 4));
  EXPECT_NE(describe(plan).find("partition auto, which is even\n"), std::string::npos);
}

TEST(PartitionChoice, KeepsWhatTheCheckpointRecordsUnderTheSameLayout) {
  const RunPlan fresh = plan_of(bunched(2));
  PlanInputs inputs;
  inputs.recorded = {.mesh = fresh.mesh.to_string(), .counts = {9, 7}};
  const RunPlan resumed = plan_of(bunched(2), inputs);
  EXPECT_EQ(counts_of(resumed.partition), (std::vector<int>{9, 7}));
  EXPECT_EQ(resumed.forecast.source, "as before");
  // What is set counts more; another layout or model is solved again.
  Options set = bunched(2);
  set.parallel.partition = "even";
  EXPECT_EQ(counts_of(plan_of(set, inputs).partition), (std::vector<int>{8, 8}));
  EXPECT_EQ(plan_of(bunched(4), inputs).partition, plan_of(bunched(4)).partition);
  inputs.recorded->counts = {9, 8};
  EXPECT_EQ(plan_of(bunched(2), inputs).partition, fresh.partition);
  inputs.recorded->counts = {16, 0};
  EXPECT_EQ(plan_of(bunched(2), inputs).partition, fresh.partition);
}

TEST(PartitionChoice, KeepsTheOrderOfTokensUnderTheSameLayout) {
  Options options = bunched(1);
  options.parallel.context = 2;
  const RunPlan fresh = make_run_plan(options, 2, store_vocab);
  const auto order_with = [&](const std::string& recorded) {
    PlanInputs inputs;
    inputs.recorded = {.mesh = fresh.mesh.to_string(), .counts = {16}, .context_order = recorded};
    return make_run_plan(options, 2, store_vocab, inputs).policy.sharding->to_string();
  };
  for (const char* const recorded : {"contiguous", "zigzag", "0 2, 1 3"}) {
    EXPECT_EQ(order_with(recorded), recorded);
  }
  EXPECT_EQ(order_with(""), fresh.policy.sharding->to_string());
  options.parallel.context_order = ContextOrder::zigzag;
  EXPECT_EQ(order_with("contiguous"), "zigzag");
}

TEST(PartitionChoice, RecomputesAsLittleAsMemoryAllows) {
  Options options = bunched(2);
  const RunPlan free = plan_of(options);
  const auto none = std::vector(16, Recompute::none);
  EXPECT_EQ(free.policy.recompute, none);
  const std::int64_t largest = largest_bytes(free);
  for (const double share : {0.99, 0.8, 0.6, 0.5, 0.45}) {
    options.plan.memory_gib = share * gib(largest);
    const RunPlan plan = plan_of(options);
    EXPECT_LE(gib(largest_bytes(plan)), options.plan.memory_gib) << share;
    EXPECT_GE(plan.forecast.step_seconds, free.forecast.step_seconds);
  }
  EXPECT_NE(plan_of(options).policy.recompute, none);
  options.plan.memory_gib = 1.01 * gib(largest);
  EXPECT_EQ(plan_of(options).policy.recompute, none);
  EXPECT_EQ(plan_of(options).partition, free.partition);
}

// What a hand could set, with each stage recomputing all or nothing.
struct ByHand {
  std::int64_t bytes = 0;  // of the largest stage
  double seconds = 0;
};

std::vector<ByHand> all_by_hand(Options options) {
  std::vector<ByHand> all;
  Partition partition = first_partition(8, 4);
  do {
    options.parallel.partition = fmt::format("{}", fmt::join(counts_of(partition), ","));
    for (int choices = 0; choices < 16; ++choices) {
      std::string recompute;
      for (std::size_t stage = 0; stage < 4; ++stage) {
        recompute +=
            fmt::format("{}{}*{}", stage == 0 ? "" : ",",
                        (choices >> stage) % 2 == 1 ? "block" : "none", partition[stage].size());
      }
      options.train.recompute = recompute;
      const RunPlan plan = plan_of(options);
      all.push_back({largest_bytes(plan), simulated_step({}, plan)});
    }
  } while (next_partition(partition));
  return all;
}

// The step of the plan within this memory; infinity if it is refused.
double step_within(Options options, double memory_gib) {
  options.plan.memory_gib = memory_gib;
  options.train.recompute = "auto";
  try {
    const RunPlan plan = plan_of(options);
    EXPECT_LE(gib(largest_bytes(plan)), memory_gib);
    return simulated_step({}, plan);
  } catch (const UsageError&) {
    return std::numeric_limits<double>::infinity();
  }
}

// With little memory, too, a plan fits if one by hand does, and its step is hardly longer. And
// `auto` is never worse than 1F1B.
TEST(PartitionChoice, FindsWhatFitsLittleMemoryUnderAnySchedule) {
  Options o;
  o.model.spans = "full*2,window:64*6";
  o.model.hidden = 64;
  o.train.sequence = 256;
  o.train.global_batch = 8;
  o.parallel.pipeline = 4;
  const std::vector<double> limits{0.0065, 0.0073, 0.008, 0.0095, 0.011, 0.013};
  int refused = 0;
  for (const char* const schedule : {"1f1b", "zero-bubble"}) {
    o.parallel.schedule = schedule;
    const std::vector<ByHand> all = all_by_hand(o);
    for (const double limit : limits) {
      double best = std::numeric_limits<double>::infinity();
      for (const ByHand& each : all) {
        if (gib(each.bytes) <= limit) best = std::min(best, each.seconds);
      }
      if (std::isinf(best)) ++refused;
      EXPECT_LE(step_within(o, limit), 1.02 * best) << schedule << " in " << limit;
    }
  }
  EXPECT_EQ(refused, 1);
  for (const double limit : limits) {
    o.parallel.schedule = "1f1b";
    const double usual = step_within(o, limit);
    o.parallel.schedule = "auto";
    EXPECT_LE(step_within(o, limit), usual * (1 + 1e-9)) << limit;
  }
}

TEST(PartitionChoice, KeepsRanksOfOneHostTogetherWithinIt) {
  const Options options = bunched(2);
  const RunPlan free = plan_of(options);
  const std::int64_t sum = bytes_of(free, 0) + bytes_of(free, 1);
  PlanInputs inputs;
  inputs.rank_memory = sum / 2;
  inputs.host_memory = sum;
  EXPECT_EQ(plan_of(options, inputs).partition, free.partition)
      << "one stage takes more than the other, both together have enough";
  inputs.host_memory = 0;
  EXPECT_LE(largest_bytes(plan_of(options, inputs)), sum / 2);
}

TEST(PartitionChoice, RefusesWithWhatEachStageWouldTakeAndTheNearestLayout) {
  Options options = bunched(2);
  const std::int64_t least = largest_bytes(plan_of(options)) / 5;
  options.plan.memory_gib = gib(least);
  const std::string message = refusal([&] { plan_of(options); });
  EXPECT_NE(message.find("is too little for this layout, whatever is recomputed"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("MiB per rank"), std::string::npos) << message;
  EXPECT_NE(message.find("0: layers 0-"), std::string::npos) << message;
  EXPECT_NE(message.find("the nearest layout that fits is parallel."), std::string::npos)
      << message;
  options.train.recompute = "none";
  EXPECT_NE(refusal([&] { plan_of(options); }).find("try train.recompute=auto"), std::string::npos);
  options.plan.memory_gib = 1e-4;
  EXPECT_NE(refusal([&] { plan_of(options); }).find("no layout of up to eight times as many ranks"),
            std::string::npos);
}

TEST(PartitionChoice, LetsTheMachinesOwnMemoryBeCheckedLater) {
  PlanInputs inputs;
  inputs.rank_memory = 1 << 20;
  inputs.host_memory = 2 << 20;
  EXPECT_NO_THROW(plan_of(bunched(2), inputs));
}

}  // namespace
}  // namespace masformer
