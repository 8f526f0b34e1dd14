#include "parallel/pipeline/schedules/schedules.h"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/schedules.h"

namespace masformer {
namespace {

constexpr PassSeconds equal{.forward = 1, .backward_input = 1, .backward_weight = 1};
// Integers, so that sums are exact.
constexpr PassSeconds unlike{.forward = 3, .backward_input = 4, .backward_weight = 2};

void for_sizes(const std::function<void(int stages, int micro_batches)>& check) {
  for (int stages = 1; stages <= 6; ++stages) {
    for (int m = 1; m <= 13; ++m) {
      SCOPED_TRACE(testing::Message() << stages << " stages, " << m << " micro-batches");
      check(stages, m);
    }
  }
}

// The time if every pass of a part costs this, over links that cost nothing.
double seconds(const Schedule& schedule, const PassSeconds& part) {
  PipelineCosts costs;
  costs.parts.assign(static_cast<std::size_t>(schedule.placement.parts()), part);
  return simulate(schedule, costs).seconds;
}

double most_parts_held(const Schedule& schedule) {
  return std::ranges::max(peak_memory(schedule, {}));
}

TEST(Schedules, HoldTheDocumentedNumberOfMicroBatches) {
  for_sizes([](int stages, int m) {
    const auto all = held_micro_batches(gpipe(stages, m));
    const auto few = held_micro_batches(one_forward_one_backward(stages, m));
    const auto split = held_micro_batches(zero_bubble(stages, m));
    for (int stage = 0; stage < stages; ++stage) {
      const auto at = static_cast<std::size_t>(stage);
      const int ahead = std::min(m, stages - stage);
      ASSERT_EQ(all[at], (HeldMicroBatches{m, m}));
      ASSERT_EQ(few[at], (HeldMicroBatches{ahead, ahead}));
      ASSERT_EQ(split[at], (HeldMicroBatches{ahead, std::min(m, stages)}));
    }
    ASSERT_LE(most_parts_held(zero_bubble_v(stages, m)), 2 * std::min(m, stages));
    for (int chunks = 2; chunks <= 4; ++chunks) {
      const auto parts = peak_memory(interleaved(stages, m, chunks), {});
      for (int stage = 0; stage < stages; ++stage) {
        const int ahead = 2 * (stages - 1 - stage) + (chunks - 1) * stages + 1;
        ASSERT_LE(parts[static_cast<std::size_t>(stage)],
                  std::min(stages == 2 ? 2 * chunks : ahead, m * chunks));
      }
    }
  });
}

// As Megatron-LM's get_pp_rank_microbatches and schedule table do it: the k-th forward is of chunk
// (k mod stages * chunks) div stages, the k-th backward of that chunk from the end.
std::vector<Action> megatron_order(int stages, int m, int chunks, int stage) {
  const int total = m * chunks;
  const int ahead = std::min((stages - stage - 1) * 2 + (chunks - 1) * stages, total);
  std::vector<Action> actions;
  const auto add = [&](ActionKind kind, int k) {
    const int turn = k % (stages * chunks) / stages;
    actions.push_back({kind, k / (stages * chunks) * stages + k % stages,
                       kind == ActionKind::forward ? turn : chunks - 1 - turn});
  };
  for (int k = 0; k < ahead; ++k) add(ActionKind::forward, k);
  for (int k = ahead; k < total; ++k) {
    add(ActionKind::forward, k);
    add(ActionKind::backward, k - ahead);
  }
  for (int k = total - ahead; k < total; ++k) add(ActionKind::backward, k);
  return actions;
}

TEST(Schedules, InterleavedIsMegatronsOrderIfStagesDivideTheMicroBatches) {
  for_sizes([](int stages, int m) {
    if (stages == 2 || m % stages != 0) return;
    for (int chunks = 2; chunks <= 4; ++chunks) {
      const Schedule schedule = interleaved(stages, m, chunks);
      for (int stage = 0; stage < stages; ++stage) {
        ASSERT_EQ(schedule.actions[static_cast<std::size_t>(stage)],
                  megatron_order(stages, m, chunks, stage));
      }
    }
  });
}

// Filling and draining cost stages - 1 passes of one part each (arXiv 2104.04473, section 2.2). If
// the stages do not divide the micro-batches, it is no slower than with a full last round.
TEST(Schedules, InterleavedTakesTheTimeOfItsClosedForm) {
  for_sizes([](int stages, int m) {
    const int full = (m + stages - 1) / stages * stages;
    for (int chunks = 2; chunks <= 4; ++chunks) {
      const Schedule schedule = interleaved(stages, m, chunks);
      if (stages == 2 && chunks > 2) {  // rounds of two, one after the other
        ASSERT_LE(seconds(schedule, unlike), full / 2 * (2 * chunks + 1) * unlike.total());
        continue;
      }
      for (const PassSeconds& part : {equal, unlike}) {
        if (stages == 2 && !(part == equal)) continue;  // it suits a backward of two forwards
        const double bound = (full * chunks + stages - 1) * part.total();
        ASSERT_LE(seconds(schedule, part), bound);
        if (full == m) {
          ASSERT_EQ(seconds(schedule, part), bound);
        }
      }
    }
  });
}

// In table 2 of arXiv 2401.10241, the idle time of ZB-H1 is (stages - 1) * (F + B - W). With fewer
// micro-batches than stages, there are too few weight gradients to fill the rest: the first
// micro-batch's way there, the last one's way back, and its weight gradient remain.
TEST(Schedules, ZeroBubbleTakesTheTimeOfItsClosedForm) {
  for_sizes([](int stages, int m) {
    for (const PassSeconds& part : {equal, unlike}) {
      ASSERT_EQ(seconds(zero_bubble(stages, m), part),
                (m + stages - 1) * (part.forward + part.backward_input) +
                    std::max(m - stages + 1, 1) * part.backward_weight);
    }
  });
}

// The last stage waits for stages - 1 forwards in any case. The bound beyond is what was found, for
// up to 16 stages and 40 micro-batches.
TEST(Schedules, ZeroBubbleVIsIdleForLessThanOnePassPerPart) {
  for_sizes([](int stages, int m) {
    const double idle = seconds(zero_bubble_v(stages, m), equal) - 2 * m * equal.total();
    ASSERT_GE(idle, stages - 1);
    ASSERT_LE(idle, m >= stages ? 2 * stages - 1 : 4 * stages - 1 - 2 * m);
  });
}

TEST(Schedules, RunAsFastIfMessagesWaitForTheirReceiversButInterleavedInPartialRounds) {
  for_sizes([](int stages, int m) {
    for (const Schedule& schedule : test::program_schedules(stages, m)) {
      PipelineCosts costs;
      costs.parts.assign(static_cast<std::size_t>(schedule.placement.parts()), equal);
      const double eager = simulate(schedule, costs).seconds;
      costs.link.rendezvous = true;
      const double rendezvous = simulate(schedule, costs).seconds;
      if (schedule.chunks() == 1 || m % stages == 0 || m < stages) {
        ASSERT_EQ(rendezvous, eager) << schedule.chunks() << " chunks";
      } else {
        ASSERT_LE(rendezvous, 1.2 * eager) << schedule.chunks() << " chunks";
      }
    }
  });
}

TEST(Schedules, FuseTheBackwardsForWhichNoStageWaits) {
  const Schedule schedule = zero_bubble(2, 2);
  EXPECT_EQ(schedule.actions[0], one_forward_one_backward(2, 2).actions[0]);
  EXPECT_EQ(schedule.actions[1], (std::vector<Action>{{ActionKind::forward, 0, 0},
                                                      {ActionKind::backward_input, 0, 0},
                                                      {ActionKind::forward, 1, 0},
                                                      {ActionKind::backward_input, 1, 0},
                                                      {ActionKind::backward_weight, 0, 0},
                                                      {ActionKind::backward_weight, 1, 0}}));
}

TEST(Schedules, AreMadeByTheirName) {
  for (const ScheduleKind& kind : schedule_kinds()) {
    const Schedule own = make_schedule(kind.name, {.stages = 3, .micro_batches = 4});
    EXPECT_EQ(own.chunks(), kind.min_chunks) << kind.name;
    EXPECT_EQ(own.stages(), 3);
    EXPECT_EQ(own.micro_batches, 4);
    EXPECT_EQ(chunks_of_schedule(kind.name, 0), kind.min_chunks);
  }
  EXPECT_EQ(make_schedule("1f1b", {.stages = 3, .micro_batches = 4}).actions,
            one_forward_one_backward(3, 4).actions);
  EXPECT_EQ(make_schedule("interleaved", {.stages = 3, .micro_batches = 4, .chunks = 3}).actions,
            interleaved(3, 4, 3).actions);
  EXPECT_THROW(gpipe(0, 1), Error);
  EXPECT_THROW(test::evaluation(1, 0), Error);
}

std::string refusal_of(std::string_view name, int chunks) {
  try {
    chunks_of_schedule(name, chunks);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Schedules, RefuseANameOrNumberOfChunksThatDoesNotExist) {
  EXPECT_NE(refusal_of("2f2b", 0).find("is not a schedule: use one of gpipe, 1f1b"),
            std::string::npos);
  EXPECT_NE(refusal_of("1f1b", 3).find("parallel.schedule=1f1b has 1 part per stage, but "
                                       "parallel.chunks=3: leave it at 0, or pick a schedule that "
                                       "takes 3: interleaved"),
            std::string::npos);
  EXPECT_NE(refusal_of("zero-bubble-v", 1)
                .find("parallel.schedule=zero-bubble-v has 2 parts per stage, but "
                      "parallel.chunks=1: leave it at 0, or pick a schedule that takes 1: gpipe"),
            std::string::npos);
  EXPECT_NE(refusal_of("interleaved", 1).find("has at least 2 parts per stage"), std::string::npos);
  EXPECT_EQ(refusal_of("interleaved", 7), "accepted");
}

}  // namespace
}  // namespace masformer
