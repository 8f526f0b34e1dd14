#include "parallel/pipeline/schedule.h"

#include <algorithm>
#include <functional>
#include <set>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/schedules.h"

namespace masformer {
namespace {

constexpr int max_stages = 8;
constexpr int max_micro_batches = 12;

std::vector<Action>& on_stage(Schedule& schedule, int stage) {
  return schedule.actions[static_cast<std::size_t>(stage)];
}

std::string refusal(const Schedule& schedule) {
  try {
    validate(schedule);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

void expect_words(const std::string& message, std::initializer_list<std::string> words) {
  for (const std::string& word : words) {
    ASSERT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
  }
}

void for_all_sizes(const std::function<void(int stages, int micro_batches)>& check) {
  for (int stages = 1; stages <= max_stages; ++stages) {
    for (int m = 1; m <= max_micro_batches; ++m) check(stages, m);
  }
}

TEST(Schedule, IsValidInEveryKindAndSize) {
  for_all_sizes([](int stages, int m) {
    std::vector<Schedule> all = test::all_schedules(stages, m);
    for (const Placement& placement : test::chunked_placements(stages)) {
      all.push_back(forward_only(placement, m));
      all.push_back(test::split_backwards(placement, m));
      all.push_back(test::all_forwards_first(placement, m));
    }
    for (const Schedule& schedule : all) {
      ASSERT_EQ(refusal(schedule), "accepted")
          << stages << " stages, " << m << " micro-batches, " << schedule.chunks() << " chunks";
    }
  });
}

TEST(Schedule, OneForwardOneBackwardEqualsAListWrittenByHand) {
  const Schedule schedule = one_forward_one_backward(2, 3);
  const auto F = [](int i) { return Action{ActionKind::forward, i, 0}; };
  const auto B = [](int i) { return Action{ActionKind::backward, i, 0}; };
  EXPECT_EQ(schedule.actions[0], (std::vector<Action>{F(0), F(1), B(0), F(2), B(1), B(2)}));
  EXPECT_EQ(schedule.actions[1], (std::vector<Action>{F(0), B(0), F(1), B(1), F(2), B(2)}));
}

TEST(Schedule, RefusesMissingAndRepeatedActions) {
  for (int stages = 1; stages <= 4; ++stages) {
    for (const Schedule& good : test::all_schedules(stages, 5, 2)) {
      for (int stage = 0; stage < stages; ++stage) {
        const auto count = good.actions[static_cast<std::size_t>(stage)].size();
        for (std::size_t i = 0; i < count; ++i) {
          Schedule bad = good;
          auto& actions = on_stage(bad, stage);
          const Action action = actions[i];
          const auto words = {"stage " + std::to_string(stage), to_string(action)};
          actions.erase(actions.begin() + static_cast<std::ptrdiff_t>(i));
          expect_words(refusal(bad), words);
          actions.insert(actions.end(), 2, action);
          expect_words(refusal(bad), words);
        }
      }
    }
  }
}

TEST(Schedule, RefusesBackwardBeforeForwardAndOtherWrongOrders) {
  for (const auto make : {gpipe, one_forward_one_backward}) {
    for (int stages = 1; stages <= 4; ++stages) {
      const Schedule good = make(stages, 5);
      for (int stage = 0; stage < stages; ++stage) {
        const std::string name = "stage " + std::to_string(stage);
        for (int i = 0; i < 5; ++i) {
          Schedule swapped = good;
          auto& actions = on_stage(swapped, stage);
          const Action forward{ActionKind::forward, i, 0};
          const Action backward{ActionKind::backward, i, 0};
          std::iter_swap(std::find(actions.begin(), actions.end(), forward),
                         std::find(actions.begin(), actions.end(), backward));
          expect_words(refusal(swapped), {name, to_string(backward), "before"});
        }
        Schedule reversed = good;
        for (Action& action : on_stage(reversed, stage)) {
          if (action.kind == ActionKind::backward) action.micro_batch = 4 - action.micro_batch;
        }
        expect_words(refusal(reversed), {name, "backward of micro-batch"});
        if (stages == 1) continue;
        Schedule other_forwards = gpipe(stages, 5);
        for (Action& action : on_stage(other_forwards, stage)) {
          if (action.kind == ActionKind::forward) action.micro_batch = 4 - action.micro_batch;
        }
        expect_words(refusal(other_forwards), {name, "forward of micro-batch", "different orders"});
      }
    }
  }
}

// The head computes its weight gradient together with its input gradient.
TEST(Schedule, RefusesInputGradientsOfTheLastPartInAnotherOrder) {
  const Schedule good = test::split_backwards(Placement::round_robin(2), 3);
  const auto swapped_on = [&](int stage) {
    Schedule schedule = good;
    auto& actions = on_stage(schedule, stage);
    std::iter_swap(std::ranges::find(actions, Action{ActionKind::backward_input, 1, 0}),
                   std::ranges::find(actions, Action{ActionKind::backward_input, 2, 0}));
    return refusal(schedule);
  };
  expect_words(swapped_on(1), {"stage 1 runs the backward-input of micro-batch 2 before the",
                               "backward-input of micro-batch 1"});
  expect_words(swapped_on(0), {"different orders"});
}

TEST(Schedule, RefusesStagesThatWaitForEachOther) {
  // Each stage is in order, but stage 0 waits for a gradient before it sends stage 1 an input.
  Schedule schedule = one_forward_one_backward(2, 2);
  schedule.actions[0] = one_forward_one_backward(1, 2).actions[0];
  schedule.actions[1] = gpipe(1, 2).actions[0];
  expect_words(refusal(schedule), {"does not run to its end", "stage 0", "stage 1",
                                   "backward of micro-batch 0", "forward of micro-batch 1"});
}

// Two chunks on two stages: all micro-batches of one chunk, then all of the next.
Schedule chunk_after_chunk(int micro_batches) {
  Schedule schedule = empty_schedule(Placement::round_robin(2, 2), micro_batches);
  for (auto& actions : schedule.actions) {
    for (const int chunk : {0, 1}) {
      for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::forward, i, chunk});
    }
    for (const int chunk : {1, 0}) {
      for (int i = 0; i < micro_batches; ++i) actions.push_back({ActionKind::backward, i, chunk});
    }
  }
  return schedule;
}

TEST(Schedule, RefusesWhatRunsOnlyIfLinksBuffer) {
  EXPECT_EQ(refusal(chunk_after_chunk(1)), "accepted");
  EXPECT_EQ(refusal(chunk_after_chunk(2)), "accepted");
  // Stage 1 waits for stage 0 to receive its first result, and stage 0 for stage 1 to receive its
  // third.
  expect_words(refusal(chunk_after_chunk(3)), {"does not run to its end", "stage 0", "to receive"});
}

TEST(Schedule, RefusesAPartBeforeThePartOfTheSameStageThatFeedsIt) {
  const Schedule good = test::all_forwards_first(Placement::v_shape(2), 2);
  EXPECT_EQ(refusal(good), "accepted");
  Schedule bad = good;  // the last stage runs its second part before its first
  auto& actions = on_stage(bad, 1);
  std::iter_swap(std::ranges::find(actions, Action{ActionKind::forward, 0, 0}),
                 std::ranges::find(actions, Action{ActionKind::forward, 0, 1}));
  expect_words(refusal(bad), {"does not run to its end", "before the forward",
                              "on chunk 1, stage 1 waits for its input from stage 1"});
}

TEST(Schedule, LinksWhateverItsActionsSendAlong) {
  for (int stages = 1; stages <= 5; ++stages) {
    std::vector<Placement> placements = test::chunked_placements(stages);
    placements.push_back(Placement::round_robin(stages));
    for (const Placement& placement : placements) {
      const Schedule schedule = test::split_backwards(placement, 2);
      std::set<Link> used;
      for (int stage = 0; stage < stages; ++stage) {
        for (const Action& action : schedule.actions[static_cast<std::size_t>(stage)]) {
          if (const auto to = sends_to(schedule, stage, action)) used.insert({stage, *to});
          if (const auto from = receives_from(schedule, stage, action)) used.insert({*from, stage});
        }
      }
      const std::vector<Link> links = links_of(placement);
      EXPECT_EQ(std::set<Link>(links.begin(), links.end()), used);
    }
  }
}

TEST(Schedule, SplitBackwardsAreCheckedAsPairs) {
  const auto split = [](Schedule schedule) {
    for (auto& actions : schedule.actions) {
      std::vector<Action> halves;
      for (const Action& action : actions) {
        halves.push_back(action);
        if (action.kind != ActionKind::backward) continue;
        halves.back().kind = ActionKind::backward_input;
        halves.push_back({ActionKind::backward_weight, action.micro_batch, action.chunk});
      }
      actions = halves;
    }
    return schedule;
  };
  const Schedule good = split(one_forward_one_backward(3, 4));
  EXPECT_EQ(refusal(good), "accepted");

  Schedule late = good;  // all weight gradients at the end, as zero-bubble schedules may
  std::stable_partition(on_stage(late, 1).begin(), on_stage(late, 1).end(),
                        [](const Action& a) { return a.kind != ActionKind::backward_weight; });
  EXPECT_EQ(refusal(late), "accepted");

  Schedule lacking = good;
  std::erase(on_stage(lacking, 1), Action{ActionKind::backward_weight, 2, 0});
  expect_words(refusal(lacking), {"stage 1", "backward-weight of micro-batch 2", "lacks"});
  Schedule both = good;
  on_stage(both, 2).push_back({ActionKind::backward, 3, 0});
  expect_words(refusal(both), {"stage 2", "backward of micro-batch 3", "both"});
  Schedule early = late;
  std::swap(on_stage(early, 1)[9], on_stage(early, 1)[10]);
  expect_words(refusal(early), {"stage 1", "backward-weight of micro-batch", "before"});
  Schedule outside = good;
  on_stage(outside, 0)[0].micro_batch = 7;
  expect_words(refusal(outside), {"stage 0", "forward of micro-batch 7"});
}

}  // namespace
}  // namespace masformer
