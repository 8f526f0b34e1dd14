#include "parallel/pipeline/simulation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/schedules.h"

namespace masformer {
namespace {

PipelineCosts equal_costs(const Placement& placement, const PassSeconds& part) {
  return {.parts = std::vector(static_cast<std::size_t>(placement.parts()), part)};
}

// Integers, so that sums are exact.
constexpr PassSeconds unlike{.forward = 3, .backward_input = 4, .backward_weight = 2};

void for_sizes(const std::function<void(int stages, int micro_batches)>& check) {
  for (int stages = 1; stages <= 6; ++stages) {
    for (int m = 1; m <= 9; ++m) {
      SCOPED_TRACE(testing::Message() << stages << " stages, " << m << " micro-batches");
      check(stages, m);
    }
  }
}

// Filling costs stages - 1 forwards, draining stages - 1 backwards; in between, the last stage
// (1F1B) or each (GPipe) works all the time (Narayanan et al., arXiv 2104.04473, section 2.2).
TEST(Simulation, EqualsTheClosedFormOfGpipeAnd1F1B) {
  for (const bool rendezvous : {false, true}) {
    for_sizes([&](int stages, int m) {
      for (const Schedule& schedule : {gpipe(stages, m), one_forward_one_backward(stages, m)}) {
        PipelineCosts costs = equal_costs(schedule.placement, unlike);
        costs.link.rendezvous = rendezvous;
        const Simulation result = simulate(schedule, costs);
        ASSERT_EQ(result.seconds, (m + stages - 1) * unlike.total());
        for (const double idle : result.idle) ASSERT_EQ(idle, (stages - 1) * unlike.total());
        ASSERT_DOUBLE_EQ(result.idle_share(), double(stages - 1) / (m + stages - 1));
      }
    });
  }
}

TEST(Simulation, EvaluatesInTheTimeOfItsForwards) {
  for_sizes([](int stages, int m) {
    const Schedule schedule = test::evaluation(stages, m);
    ASSERT_EQ(simulate(schedule, equal_costs(schedule.placement, unlike)).seconds,
              (m + stages - 1) * unlike.forward);
  });
}

// All micro-batches of a GPipe wait for the slow stage; before and after it, each fills once.
TEST(Simulation, SlowsDownByAStraggler) {
  for_sizes([](int stages, int m) {
    for (int slow = 0; slow < stages; ++slow) {
      const Schedule schedule = gpipe(stages, m);
      PipelineCosts costs = equal_costs(schedule.placement, unlike);
      costs.slowdown.assign(static_cast<std::size_t>(stages), 1);
      costs.slowdown[static_cast<std::size_t>(slow)] = 3;
      ASSERT_EQ(simulate(schedule, costs).seconds, (3 * m + stages - 1) * unlike.total());
      ASSERT_EQ(slowest_stage_seconds(schedule.placement, m, costs), 3 * m * unlike.total());
    }
  });
}

// One micro-batch crosses each link twice, one after the other.
TEST(Simulation, CountsLatencyTransferAndHandOver) {
  for (int stages = 1; stages <= 5; ++stages) {
    PipelineCosts costs = equal_costs(Placement::round_robin(stages), unlike);
    costs.link = {.latency = 2, .bytes_per_second = 4, .message_bytes = 20};
    ASSERT_EQ(simulate(gpipe(stages, 1), costs).seconds,
              stages * unlike.total() + 2 * (stages - 1) * (2 + 5));
    const Schedule v = test::all_forwards_first(Placement::v_shape(stages), 1);
    PipelineCosts own = equal_costs(v.placement, unlike);
    own.hand_over_seconds = 7;
    ASSERT_EQ(simulate(v, own).seconds, 2 * stages * unlike.total() + 2 * 7);
  }
}

// A link carries one message at a time. Stage 0 sends faster than the link, and stage 1 computes
// faster.
TEST(Simulation, KeepsTheMessagesOfALinkApart) {
  const Schedule schedule = gpipe(2, 4);
  PipelineCosts costs{.parts = {{.forward = 1}, {.forward = 1}}};
  costs.link = {.bytes_per_second = 1, .message_bytes = 10};
  const Simulation result = simulate(schedule, costs);
  EXPECT_EQ(result.seconds, 1 + 4 * 10 + 1 + 4 * 10);
  ASSERT_EQ(result.messages.size(), 8U);
  for (std::size_t i = 0; i < 4; ++i) {
    const double begin = 1 + 10 * static_cast<double>(i);
    EXPECT_EQ(result.messages[i].travel, (TimeSpan{begin, begin + 10}));
    EXPECT_EQ(result.messages[i].action, schedule.actions[0][i]);
    EXPECT_EQ(result.messages[i].to, 1);
  }
}

// Stage 1 computes for 10 seconds and asks only then; without rendezvous, the next message has
// arrived meanwhile.
TEST(Simulation, StartsAMessageWhenBothSidesAreReadyIfTheyMustMeet) {
  const Schedule schedule = test::evaluation(2, 2);
  PipelineCosts costs{.parts = {{.forward = 1}, {.forward = 10}}};
  costs.link = {.bytes_per_second = 1, .message_bytes = 3};
  EXPECT_EQ(simulate(schedule, costs).seconds, 1 + 3 + 10 + 10);
  costs.link.rendezvous = true;
  const Simulation result = simulate(schedule, costs);
  EXPECT_EQ(result.seconds, 1 + 3 + 10 + 3 + 10);
  EXPECT_EQ(result.messages[1].travel, (TimeSpan{14, 17}));
  EXPECT_EQ(result.actions[0][1], (TimeSpan{4, 5})) << "an evaluation waits until its output left";
}

std::vector<Schedule> all_schedules(int stages, int m) {
  std::vector<Schedule> all = test::all_schedules(stages, m);
  for (const Placement& placement : test::chunked_placements(stages)) {
    all.push_back(test::split_backwards(placement, m));
    all.push_back(test::all_forwards_first(placement, m));
  }
  return all;
}

PipelineCosts random_costs(const Placement& placement, std::mt19937& random) {
  const auto draw = [&] { return static_cast<double>(random() % 1000) / 100; };
  PipelineCosts costs;
  for (int part = 0; part < placement.parts(); ++part) {
    costs.parts.push_back({draw(), draw(), draw()});
  }
  costs.link = {.latency = draw() / 10,
                .bytes_per_second = 1,
                .message_bytes = draw() / 10,
                .rendezvous = random() % 2 == 0};
  costs.hand_over_seconds = draw() / 10;
  for (int stage = 0; stage < placement.stages(); ++stage) {
    costs.slowdown.push_back(1 + draw() / 10);
  }
  return costs;
}

PipelineCosts scaled(PipelineCosts costs, double factor) {
  for (PassSeconds& part : costs.parts) {
    part = {part.forward * factor, part.backward_input * factor, part.backward_weight * factor};
  }
  costs.link.latency *= factor;
  costs.link.message_bytes *= factor;
  costs.hand_over_seconds *= factor;
  return costs;
}

// A micro-batch goes through all parts, and back; a stage does all its work.
double chain_seconds(const Schedule& schedule, const PipelineCosts& costs) {
  double sum = 0;
  for (int part = 0; part < schedule.placement.parts(); ++part) {
    const auto stage = static_cast<std::size_t>(schedule.placement.place(part).stage);
    const PassSeconds& seconds = costs.parts[static_cast<std::size_t>(part)];
    sum += costs.slowdown[stage] *
           (seconds.forward + (is_evaluation(schedule) ? 0 : seconds.backward_input));
  }
  return sum;
}

TEST(Simulation, IsAtLeastTheChainAndTheSlowestStageAndScalesWithItsCosts) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 40; ++trial) {
    const int stages = 1 + static_cast<int>(random() % 5), m = 1 + static_cast<int>(random() % 7);
    for (const Schedule& schedule : all_schedules(stages, m)) {
      const PipelineCosts costs = random_costs(schedule.placement, random);
      const double seconds = simulate(schedule, costs).seconds;
      const double rounding = 1e-12 * seconds;
      ASSERT_GE(seconds + rounding, chain_seconds(schedule, costs));
      if (!is_evaluation(schedule)) {
        ASSERT_GE(seconds + rounding, slowest_stage_seconds(schedule.placement, m, costs));
      }
      ASSERT_EQ(simulate(schedule, scaled(costs, 4)).seconds, 4 * seconds);
    }
  }
}

// Rendezvous, slower links and slower stages never make a step faster.
TEST(Simulation, NeverGetsFasterWithHigherCosts) {
  std::mt19937 random(12);
  for (int trial = 0; trial < 40; ++trial) {
    const int stages = 1 + static_cast<int>(random() % 5), m = 1 + static_cast<int>(random() % 7);
    for (const Schedule& schedule : all_schedules(stages, m)) {
      PipelineCosts costs = random_costs(schedule.placement, random);
      costs.link.rendezvous = false;
      const double seconds = simulate(schedule, costs).seconds;
      const auto expect_slower = [&](const std::function<void(PipelineCosts&)>& change) {
        PipelineCosts changed = costs;
        change(changed);
        EXPECT_GE(simulate(schedule, changed).seconds, seconds * (1 - 1e-12));
      };
      expect_slower([](PipelineCosts& c) { c.link.rendezvous = true; });
      expect_slower([](PipelineCosts& c) { c.link.latency += 1; });
      expect_slower([](PipelineCosts& c) { c.link.message_bytes += 1; });
      expect_slower([](PipelineCosts& c) { c.slowdown.back() += 1; });
      expect_slower([](PipelineCosts& c) { c.parts.front().backward_weight += 1; });
    }
  }
}

// Stages compute one action at a time, in order, none before its input has arrived.
TEST(Simulation, RespectsOrderAndDependencies) {
  std::mt19937 random(13);
  for (const Schedule& schedule : all_schedules(3, 4)) {
    const PipelineCosts costs = random_costs(schedule.placement, random);
    const Simulation result = simulate(schedule, costs);
    for (int stage = 0; stage < 3; ++stage) {
      const auto& actions = schedule.actions[static_cast<std::size_t>(stage)];
      const auto& times = result.actions[static_cast<std::size_t>(stage)];
      ASSERT_EQ(times.size(), actions.size());
      for (std::size_t i = 1; i < times.size(); ++i) ASSERT_GE(times[i].begin, times[i - 1].end);
    }
    for (const SimulatedMessage& message : result.messages) {
      const auto& sent = schedule.actions[static_cast<std::size_t>(message.from)];
      const auto place = std::ranges::find(sent, message.action) - sent.begin();
      const auto from = static_cast<std::size_t>(message.from);
      ASSERT_LE(result.actions[from][static_cast<std::size_t>(place)].end, message.travel.begin);
    }
  }
}

TEST(Simulation, RefusesCostsOfAnotherModelAndScheduleThatHang) {
  const Schedule good = gpipe(2, 2);
  EXPECT_THROW(simulate(good, {.parts = {unlike}}), Error);
  PipelineCosts costs = equal_costs(good.placement, unlike);
  costs.slowdown = {1, 1, 1};
  EXPECT_THROW(simulate(good, costs), Error);
  costs.slowdown.clear();
  Schedule bad = good;
  std::swap(bad.actions[1][0], bad.actions[1][1]);
  EXPECT_THROW(simulate(bad, costs), Error) << "messages in another order";
  bad = good;
  std::swap(bad.actions[0][0], bad.actions[0][2]);
  EXPECT_THROW(simulate(bad, costs), Error) << "a backward before its forward";
}

TEST(Simulation, TakesHundredsOfStagesAndThousandsOfMicroBatches) {
  const Schedule schedule = one_forward_one_backward(200, 2000);
  EXPECT_EQ(simulate(schedule, equal_costs(schedule.placement, unlike)).seconds,
            (2000 + 199) * unlike.total());
}

}  // namespace
}  // namespace masformer
