// What one stage does to run its part of a schedule: when it computes, what it sends, receives and
// hands over, and for which of its own sends it waits. The executor goes through this list; how
// many messages are in flight at once, which staged transports need memory for, is counted on the
// same list.
#pragma once

#include <vector>

#include "parallel/pipeline/schedule.h"

namespace masformer {

struct ExecutionStep {
  enum class Kind : std::uint8_t {
    wait_for_output_send,    // of the action's chunk and micro-batch
    wait_for_gradient_send,  // of the action's chunk
    receive,                 // the action's input, from stage `peer`
    run,
    send,       // the action's result, to stage `peer`
    hand_over,  // the action's result, to the stage's own next part
  };

  Kind kind = Kind::run;
  Action action;
  int peer = -1;  // a stage; of receive and send

  bool operator==(const ExecutionStep&) const = default;
};

// A stage sends without waiting. A backward overwrites its micro-batch's output and the chunk's
// last gradient, so both sends are waited for before it; in evaluation an output is free when its
// action ends, so its send is waited for at once. At the end nothing is in flight.
// check_for_deadlock() assumes nothing laxer than this, so a validated schedule cannot hang.
std::vector<ExecutionStep> plan_execution(const Schedule& schedule, int stage);

// How many of a stage's messages, sent and received, are in flight at once at most.
int max_messages(const Schedule& schedule, int stage);

}  // namespace masformer
