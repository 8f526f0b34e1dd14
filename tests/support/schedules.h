// Schedules for tests: all schedules of the program, and simple ones with several parts per stage,
// which test that placements, executor and memory plans support chunks.
#pragma once

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "parallel/pipeline/schedules/schedules.h"

namespace masformer::test {

// Evaluation with one part per stage.
inline Schedule evaluation(int stages, int micro_batches) {
  return forward_only(Placement::round_robin(stages), micro_batches);
}

// The program's schedules of this size: with each number of parts per stage that they take, up to
// `max_chunks`.
inline std::vector<Schedule> program_schedules(int stages, int micro_batches, int max_chunks = 4) {
  std::vector<Schedule> all;
  for (const ScheduleKind& kind : schedule_kinds()) {
    for (int c = kind.min_chunks; c <= std::min(kind.max_chunks, max_chunks); ++c) {
      all.push_back(kind.make({.stages = stages, .micro_batches = micro_batches, .chunks = c}));
    }
  }
  return all;
}

// The same, and evaluation().
inline std::vector<Schedule> all_schedules(int stages, int micro_batches, int max_chunks = 4) {
  std::vector<Schedule> all = program_schedules(stages, micro_batches, max_chunks);
  all.push_back(evaluation(stages, micro_batches));
  return all;
}

// Each micro-batch goes through all chunks before the next one starts. Backwards are split, and all
// weight gradients come last.
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

// All forwards in the order of evaluation, then the backward of each micro-batch through all
// chunks.
inline Schedule all_forwards_first(const Placement& placement, int micro_batches) {
  Schedule schedule = forward_only(placement, micro_batches);
  for (auto& actions : schedule.actions) {
    for (int i = 0; i < micro_batches; ++i) {
      for (int c = placement.chunks(); c-- > 0;) actions.push_back({ActionKind::backward, i, c});
    }
  }
  return schedule;
}

// Placements with several chunks. On a single stage, every part hands over to the next one there.
inline std::vector<Placement> chunked_placements(int stages) {
  return {Placement::round_robin(stages, 2), Placement::round_robin(stages, 3),
          Placement::v_shape(stages)};
}

// The program's schedule of that name, "two chunks", "three chunks" (split backwards) or "v".
// `chunks`: only for the program's schedules; 0 is their own number.
inline Schedule schedule_named(std::string_view name, int stages, int micro_batches,
                               int chunks = 0) {
  if (name == "two chunks")
    return all_forwards_first(Placement::round_robin(stages, 2), micro_batches);
  if (name == "three chunks")
    return split_backwards(Placement::round_robin(stages, 3), micro_batches);
  if (name == "v") return all_forwards_first(Placement::v_shape(stages), micro_batches);
  return make_schedule(name, {.stages = stages, .micro_batches = micro_batches, .chunks = chunks});
}

}  // namespace masformer::test
