// Schedules for tests: all that the program knows, and simple ones of several parts per stage,
// which prove that placements, executor and memory plans know chunks.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer::test {

// Evaluation with one part per stage.
inline Schedule evaluation(int stages, int micro_batches) {
  return forward_only(Placement::round_robin(stages), micro_batches);
}

// Each micro-batch through all chunks at once, backwards split in two, weight gradients last.
inline Schedule split_backwards(const Placement& placement, int micro_batches) {
  Schedule schedule = empty_schedule(placement, micro_batches);
  const int chunks = placement.chunks();
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) {
      for (int c = 0; c < chunks; ++c) actions.push_back({ActionKind::forward, i, c});
    }
    for (int i = 0; i < micro_batches; ++i) {
      for (int c = chunks; c-- > 0;) actions.push_back({ActionKind::backward_input, i, c});
    }
    for (int i = 0; i < micro_batches; ++i) {
      for (int c = 0; c < chunks; ++c) actions.push_back({ActionKind::backward_weight, i, c});
    }
  }
  return schedule;
}

// All forwards in evaluation's order, then each micro-batch's backward through all chunks.
inline Schedule all_forwards_first(const Placement& placement, int micro_batches) {
  Schedule schedule = forward_only(placement, micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) {
      for (int c = placement.chunks(); c-- > 0;) actions.push_back({ActionKind::backward, i, c});
    }
  }
  return schedule;
}

// The placements of several chunks; on one stage every part hands over to the next there.
inline std::vector<Placement> chunked_placements(int stages) {
  return {Placement::round_robin(stages, 2), Placement::round_robin(stages, 3),
          Placement::v_shape(stages)};
}

// By name: the program's, "two chunks", "three chunks" (backwards split) and "v" (fused).
inline Schedule schedule_named(std::string_view name, int stages, int micro_batches) {
  if (name == "two chunks")
    return all_forwards_first(Placement::round_robin(stages, 2), micro_batches);
  if (name == "three chunks")
    return split_backwards(Placement::round_robin(stages, 3), micro_batches);
  if (name == "v") return all_forwards_first(Placement::v_shape(stages), micro_batches);
  return make_schedule(name, stages, micro_batches);
}

}  // namespace masformer::test
