// Orders the actions of a training step by running them: whenever a stage is free, it starts the
// best of the actions that could start then. Backwards are split, except as with_fused_backwards()
// says. The result suits the given costs instead of a fixed pattern: what is idle otherwise is
// filled with weight gradients.
//
// The run obeys the rules of check_for_deadlock(): a link holds one message until its receiver
// starts the action that takes it, and a stage starts nothing whose result it could not send. So
// every result is valid. Every part runs each kind of action in the order of micro-batches.
#pragma once

#include <optional>
#include <vector>

#include "parallel/pipeline/held_memory.h"
#include "parallel/pipeline/simulation.h"

namespace masformer {

// What a stage prefers. No choice is best for all costs, so callers try several.
struct ListPreferences {
  // Of a forward and a backward_input that could both start, the forward: never, always, or after
  // a backward_input.
  enum class Forward { last, first, in_turn };
  Forward forward = Forward::last;
  // Of two backward_inputs, the one of the earlier part instead of the later part.
  bool early_parts_first = false;
  // A weight gradient may delay a forward or backward_input whose input is on its way, by at most
  // this share of its own time.
  double delay = 0;
};

struct ListRules {
  PipelineCosts costs;
  std::vector<PartMemory> memory;    // [part]; empty: one unit each
  std::vector<double> memory_limit;  // [stage]
  ListPreferences preferences;
};

// Nothing if the memory does not suffice for one micro-batch on each stage, or if the preferences
// lead to stages that wait for each other.
std::optional<Schedule> list_schedule(const Placement& placement, int micro_batches,
                                      const ListRules& rules);

}  // namespace masformer
