// The schedule `auto`: against all others, against every possible order of tiny steps, against a
// search that starts from other schedules, and on the mixes of the 1.3B model.
#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/least_step.h"
#include "parallel/pipeline/schedules/order_search.h"
#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"
#include "tests/support/schedules.h"

namespace masformer {
namespace {

bool fits(const Schedule& schedule, const ScheduleRequest& request) {
  const std::vector<double> peaks = peak_memory(schedule, request.memory);
  for (std::size_t stage = 0; stage < peaks.size(); ++stage) {
    if (!fits_memory(peaks[stage], request.memory_limit[stage])) return false;
  }
  return true;
}

double seconds(const Schedule& schedule, const ScheduleRequest& request) {
  return simulate(schedule, request.costs).seconds;
}

double least_seconds(const Placement& placement, const ScheduleRequest& request) {
  return least_step_seconds(placement, request.micro_batches, request.costs, request.memory,
                            request.memory_limit);
}

// Passes whose times differ by up to the factor that `spread` gives. The head of the last part
// computes its weights' gradient in its input pass.
ScheduleRequest random_request(std::mt19937& random, int stages, int m, int chunks) {
  ScheduleRequest request{.stages = stages, .micro_batches = m, .chunks = chunks};
  const double spread = 0.3 * (1 + static_cast<double>(random() % 3));
  const auto draw = [&] { return 1 + spread * (static_cast<double>(random() % 1000) / 500 - 1); };
  for (int part = 0; part < stages * chunks; ++part) {
    request.costs.parts.push_back({draw(), draw(), draw()});
    request.memory.push_back({draw(), draw()});
  }
  PassSeconds& last = request.costs.parts.back();
  last.backward_input += 0.7 * last.backward_weight;
  last.backward_weight *= 0.3;
  request.memory_limit = memory_of_1f1b(request);
  return request;
}

// Sums have the same bits in all schedules if every part runs each kind of action in the order of
// micro-batches.
void expect_ascending(const Schedule& schedule) {
  for (const std::vector<Action>& actions : schedule.actions) {
    std::map<std::pair<ActionKind, int>, int> last;  // by kind and chunk
    for (const Action& action : actions) {
      // A fused backward is both halves.
      const bool fused = action.kind == ActionKind::backward;
      for (const ActionKind kind : {fused ? ActionKind::backward_input : action.kind,
                                    fused ? ActionKind::backward_weight : action.kind}) {
        const auto [known, is_new] = last.try_emplace({kind, action.chunk}, action.micro_batch);
        EXPECT_TRUE(is_new || known->second <= action.micro_batch) << to_string(action);
        known->second = action.micro_batch;
      }
    }
  }
}

TEST(AutomaticSchedule, IsValidDeterministicAndNeverSlowerThanAnotherThatFits) {
  std::mt19937 random(21);
  for (int trial = 0; trial < 16; ++trial) {
    const int stages = 1 + static_cast<int>(random() % 4);
    const int m = 1 + static_cast<int>(random() % 7), chunks = 1 + static_cast<int>(random() % 3);
    const ScheduleRequest request = random_request(random, stages, m, chunks);
    SCOPED_TRACE(testing::Message()
                 << stages << " stages, " << m << " micro-batches, " << chunks << " chunks");
    const Schedule chosen = automatic(request);
    ASSERT_NO_THROW(validate(chosen));
    EXPECT_EQ(chosen.chunks(), chunks);
    expect_ascending(chosen);
    EXPECT_EQ(chosen.actions, automatic(request).actions);
    bool some_fit = false;
    for (const ScheduleKind& kind : schedule_kinds()) {
      if (kind.name == "auto" || chunks < kind.min_chunks || chunks > kind.max_chunks) continue;
      const Schedule other = kind.make(request);
      if (!fits(other, request)) continue;
      some_fit = true;
      EXPECT_LE(seconds(chosen, request), seconds(other, request) * (1 + 1e-9)) << kind.name;
    }
    EXPECT_TRUE(fits(chosen, request) || !some_fit);
  }
}

TEST(AutomaticSchedule, TakesWhatExceedsTheMemoryLeastIfNothingFits) {
  ScheduleRequest request{.stages = 3, .micro_batches = 6, .chunks = 1};
  request.memory_limit = {0.5, 0.5, 0.5};
  const Schedule chosen = automatic(request);
  validate(chosen);
  EXPECT_LE(std::ranges::max(peak_memory(chosen, {})), 3);
  request.memory_limit = {1, 1};
  EXPECT_THROW(automatic(request), Error);
  request.memory_limit = {9, 9, 9};
  request.costs.parts = {{1, 1, 1}};
  EXPECT_THROW(automatic(request), Error);
}

TEST(AutomaticSchedule, UsesMoreMemoryWhereThereIs) {
  ScheduleRequest request{.stages = 4, .micro_batches = 8, .chunks = 1};
  request.costs.parts.assign(4, {.forward = 1, .backward_input = 2, .backward_weight = 1});
  double before = std::numeric_limits<double>::infinity();
  for (const double limit : {1, 2, 4}) {
    request.memory_limit.assign(4, limit);
    const Schedule chosen = automatic(request);
    EXPECT_TRUE(fits(chosen, request));
    EXPECT_LT(seconds(chosen, request), before) << limit;
    before = seconds(chosen, request);
  }
}

// Every order in which one stage can run its passes, with the micro-batches in order. Micro-batches
// are alike, so no other order could be faster.
void for_every_order(int m, std::vector<Action>& actions, int forwards, int inputs, int weights,
                     const std::function<void()>& visit) {
  if (weights == m) return visit();
  const auto with = [&](ActionKind kind, int micro_batch, int f, int i, int w) {
    actions.push_back({kind, micro_batch, 0});
    for_every_order(m, actions, f, i, w, visit);
    actions.pop_back();
  };
  if (forwards < m) with(ActionKind::forward, forwards, forwards + 1, inputs, weights);
  if (inputs < forwards) with(ActionKind::backward_input, inputs, forwards, inputs + 1, weights);
  if (weights < inputs) with(ActionKind::backward_weight, weights, forwards, inputs, weights + 1);
}

double best_of_every_order(const ScheduleRequest& request) {
  std::vector<std::vector<Action>> orders;
  std::vector<Action> actions;
  for_every_order(request.micro_batches, actions, 0, 0, 0, [&] { orders.push_back(actions); });
  double best = std::numeric_limits<double>::infinity();
  Schedule schedule = empty_schedule(Placement::round_robin(request.stages), request.micro_batches);
  const std::function<void(int)> choose = [&](int stage) {
    if (stage == request.stages) {
      if (!fits(schedule, request)) return;
      try {
        const double found = seconds(schedule, request);
        if (found >= best) return;
        validate(schedule);
        best = found;
      } catch (const Error&) {  // stages that wait for each other
      }
      return;
    }
    for (const auto& order : orders) {
      schedule.actions[static_cast<std::size_t>(stage)] = order;
      choose(stage + 1);
    }
  };
  choose(0);
  return best;
}

TEST(AutomaticSchedule, IsWithinOnePercentOfTheBestOfAllOrdersOfTinySteps) {
  std::mt19937 random(22);
  for (const auto& [stages, m] : {std::pair{2, 2}, {3, 2}, {4, 2}, {2, 3}}) {
    for (int trial = 0; trial < 4; ++trial) {
      ScheduleRequest request = random_request(random, stages, m, 1);
      request.memory.clear();  // with one unit each, fused backwards hold no less than split ones
      request.memory_limit = memory_of_1f1b(request);
      const double best = best_of_every_order(request);
      const double chosen = seconds(automatic(request), request);
      EXPECT_LE(chosen, 1.01 * best) << stages << " stages, " << m << " micro-batches";
      EXPECT_GE(chosen, best * (1 - 1e-9));
      EXPECT_GE(best, least_seconds(Placement::round_robin(stages), request) * (1 - 1e-9));
    }
  }
}

// With slow links, slow stages, and more memory or less, too.
TEST(AutomaticSchedule, NoScheduleBeatsTheLowerBound) {
  std::mt19937 random(24);
  int compared = 0, reached = 0;
  for (int trial = 0; trial < 90; ++trial) {
    const int stages = 1 + static_cast<int>(random() % 4);
    const int m = 1 + static_cast<int>(random() % 8), chunks = 1 + static_cast<int>(random() % 3);
    ScheduleRequest request = random_request(random, stages, m, chunks);
    if (trial % 2 == 1) {
      request.costs.link = {
          .latency = 0.2, .bytes_per_second = 10, .message_bytes = 2, .rendezvous = trial % 4 == 1};
      request.costs.hand_over_seconds = 0.1;
      request.costs.slowdown.assign(static_cast<std::size_t>(stages), 1);
      request.costs.slowdown[random() % static_cast<unsigned>(stages)] = 1.5;
    }
    for (double& limit : request.memory_limit) limit *= 0.5 + static_cast<double>(random() % 3);
    for (const ScheduleKind& kind : schedule_kinds()) {
      if (chunks < kind.min_chunks || chunks > kind.max_chunks) continue;
      const Schedule schedule = kind.make(request);
      if (!fits(schedule, request)) continue;
      const double least = least_seconds(schedule.placement, request);
      EXPECT_GE(seconds(schedule, request), least * (1 - 1e-9))
          << kind.name << ", " << stages << " stages, " << m << " micro-batches, " << chunks;
      ++compared;
      const double slowest = slowest_stage_seconds(schedule.placement, m, request.costs);
      if (least > 1.05 * slowest && seconds(schedule, request) <= 1.001 * least) ++reached;
    }
  }
  fmt::print("{} schedules, of which {} reach a bound above their slowest stage\n", compared,
             reached);
  EXPECT_GE(compared, 100);
  EXPECT_GE(reached, 5) << "or the bound is so low that the comparison says little";
}

// The best that a longer search finds from each schedule that fits, `auto` left out.
double best_by_search(const ScheduleRequest& request) {
  std::vector<Schedule> starts;
  for (const ScheduleKind& kind : schedule_kinds()) {
    if (kind.name == "auto" || request.chunks < kind.min_chunks ||
        request.chunks > kind.max_chunks) {
      continue;
    }
    starts.push_back(kind.make(request));
  }
  if (request.chunks == 2) {
    starts.push_back(
        test::split_backwards(Placement::v_shape(request.stages), request.micro_batches));
  }
  double best = std::numeric_limits<double>::infinity();
  for (const Schedule& start : starts) {
    if (!fits(start, request)) continue;
    const Schedule found = search_order(start, {.costs = request.costs,
                                                .memory = request.memory,
                                                .memory_limit = request.memory_limit,
                                                .trials = 20'000});
    best = std::min(best, seconds(found, request));
  }
  return best;
}

TEST(AutomaticSchedule, IsWithinOnePercentOfASearchFromOtherSchedules) {
  std::mt19937 random(23);
  for (int trial = 0; trial < 8; ++trial) {
    const int stages = 2 + static_cast<int>(random() % 3), m = 2 + static_cast<int>(random() % 4);
    const int chunks = 1 + trial % 2;
    const ScheduleRequest request = random_request(random, stages, m, chunks);
    EXPECT_LE(seconds(automatic(request), request), 1.01 * best_by_search(request))
        << stages << " stages, " << m << " micro-batches, " << chunks << " chunks";
  }
}

// The parts of the 1.3B model at 8,192 tokens, in units of 10^8 FLOPs per token: 24 blocks with 8
// full layers, the others with windows of 1,024, in equal numbers on all stages.
ScheduleRequest mix(int stages, int m, int chunks, const std::function<bool(int)>& is_full) {
  constexpr double products = 24.0 * 2048 * 2048 / 1e8, pair = 4.0 * 2048 / 1e8;
  constexpr double full = pair * 8193 / 2, window = pair * 960.1, head = 2.0 * 2048 * 50257 / 1e8;
  ScheduleRequest request{.stages = stages, .micro_batches = m, .chunks = chunks};
  const int parts = stages * chunks;
  for (int part = 0, block = 0; part < parts; ++part) {
    PassSeconds sum;
    const int blocks = 24 / parts + (part < 24 % parts ? 1 : 0);
    for (int i = 0; i < blocks; ++i, ++block) {
      const double attention = is_full(block) ? full : window;
      sum += {products + attention, products + 2 * attention, products};
    }
    if (part + 1 == parts) sum.backward_input += 3 * head;
    request.costs.parts.push_back(sum);
    request.memory.push_back({double(blocks), double(blocks)});
  }
  request.memory_limit = memory_of_1f1b(request);
  return request;
}

// The goal is a third of 1F1B's time beyond the slowest stage. With one part per stage, it is out
// of reach of every order in the memory of 1F1B: at the end the gradient of the last micro-batch
// passes stages - 1 stages, for longer than the last stage has weight gradients left, since
// attention and head have none. On the V, each of these passes is half as long.
TEST(AutomaticSchedule, IsIdleForAThirdOf1F1BsTimeBeyondTheSlowestStageOrAsLittleAsAnyOrder) {
  const std::vector<std::function<bool(int)>> mixes{
      [](int i) { return i < 8; }, [](int i) { return i >= 16; }, [](int i) { return i % 3 == 0; }};
  for (const int stages : {4, 8}) {
    for (const int m : {2 * stages, 4 * stages}) {
      if (m > 16) continue;  // masformer_schedule_table shows these, too
      for (const auto& is_full : mixes) {
        const ScheduleRequest one = mix(stages, m, 1, is_full), two = mix(stages, m, 2, is_full);
        const auto beyond = [&](double seconds, const Placement& placement,
                                const ScheduleRequest& request) {
          return seconds - slowest_stage_seconds(placement, m, request.costs);
        };
        const auto beyond_of = [&](const Schedule& schedule, const ScheduleRequest& request) {
          return beyond(seconds(schedule, request), schedule.placement, request);
        };
        const Placement plain = Placement::round_robin(stages);
        const double usual = beyond_of(one_forward_one_backward(stages, m), one);
        const double least = beyond(least_seconds(plain, one), plain, one);
        SCOPED_TRACE(testing::Message() << stages << " stages, m " << m);
        EXPECT_GT(least, usual / 3);
        EXPECT_LE(beyond_of(zero_bubble(stages, m), one), least * (1 + 1e-9));
        EXPECT_LE(beyond_of(automatic(one), one), least * (1 + 1e-9));
        EXPECT_LE(beyond_of(automatic(two), two), usual / 3);
      }
    }
  }
}

}  // namespace
}  // namespace masformer
