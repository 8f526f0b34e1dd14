#include "parallel/pipeline/action_text.h"

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules/schedules.h"
#include "runtime/error.h"

namespace masformer {
namespace {

TEST(ActionText, NamesKindMicroBatchAndChunk) {
  EXPECT_EQ(action_text({{ActionKind::forward, 0},
                         {ActionKind::backward, 12},
                         {ActionKind::backward_input, 1, 2},
                         {ActionKind::backward_weight, 1, 2}}),
            "F0 B12 I1.2 W1.2");
  EXPECT_EQ(action_text({}), "");
}

TEST(ActionText, IsReadBackForEverySchedule) {
  for (const std::string& name : schedule_names()) {
    const Schedule schedule = make_schedule(name, {.stages = 3, .micro_batches = 12, .chunks = 0});
    for (const auto& actions : schedule.actions) {
      EXPECT_EQ(parse_actions(action_text(actions)), actions) << name;
    }
  }
}

TEST(ActionText, RefusesOtherWords) {
  for (const char* const text :
       {"X0", "F", "F-1", "F1.", "F1.x", "F1,2", " F1", "F1  F2", "f1", "F0 ", " "}) {
    EXPECT_THROW(parse_actions(text), Error) << text;
  }
}

}  // namespace
}  // namespace masformer
