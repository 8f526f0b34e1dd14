// Lists what one stage does to run its part of a schedule: what it computes, sends, receives and
// hands over to itself, and when it waits for its own sends. The executor runs this list. The
// memory plan counts in the same list how many messages are in flight at once, because staged
// transports need memory for them.
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
    hand_over,  // the action's result, to the part of this stage that takes it
  };

  Kind kind = Kind::run;
  Action action;
  int peer = -1;  // the other stage of receive and send

  bool operator==(const ExecutionStep&) const = default;
};

// A stage sends without waiting, so that its next action overlaps with the message, and waits for a
// send only before the buffer is used again. A backward overwrites its micro-batch's output and the
// chunk's last gradient, so the stage waits for both sends before it. In evaluation an output's
// buffer is free when its action ends, so the stage waits at once. At the end nothing is in flight.
// check_for_deadlock() assumes at least these waits, so a validated schedule cannot hang.
std::vector<ExecutionStep> plan_execution(const Schedule& schedule, int stage);

// The most messages of a stage, sent and received, that are in flight at once.
int max_messages(const Schedule& schedule, int stage);

}  // namespace masformer
