#include "parallel/pipeline/held_memory.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/schedules.h"

namespace masformer {
namespace {

TEST(HeldMemory, CountsMicroBatchesUntilEachGradient) {
  // Fused backwards free all at once; split ones keep what their weights need.
  EXPECT_EQ(held_micro_batches(gpipe(2, 5)), (std::vector<HeldMicroBatches>{{5, 5}, {5, 5}}));
  EXPECT_EQ(held_micro_batches(one_forward_one_backward(3, 5)),
            (std::vector<HeldMicroBatches>{{3, 3}, {2, 2}, {1, 1}}));
  Schedule schedule = empty_schedule(Placement::round_robin(1), 2);
  schedule.actions = {{{ActionKind::forward, 0, 0},
                       {ActionKind::backward_input, 0, 0},
                       {ActionKind::forward, 1, 0},
                       {ActionKind::backward_input, 1, 0},
                       {ActionKind::backward_weight, 0, 0},
                       {ActionKind::backward_weight, 1, 0}}};
  EXPECT_EQ(held_micro_batches(schedule), (std::vector<HeldMicroBatches>{{1, 2}}));
}

TEST(HeldMemory, AddsTheChunksOfAStage) {
  const Schedule schedule = test::all_forwards_first(Placement::v_shape(2), 3);
  EXPECT_EQ(peak_memory(schedule, {}), (std::vector<double>{6, 6}));
  EXPECT_EQ(peak_memory(schedule, {{1, 9}, {10, 9}, {100, 9}, {1000, 9}}),
            (std::vector<double>{3003, 330}));
  // The weight gradients of all micro-batches and chunks come last.
  const Schedule split = test::split_backwards(Placement::v_shape(2), 3);
  EXPECT_EQ(peak_memory(split, {{1, 2}, {1, 20}, {1, 200}, {1, 2000}}),
            (std::vector<double>{6006, 660}));
}

}  // namespace
}  // namespace masformer
