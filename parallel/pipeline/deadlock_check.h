// The part of validate() that simulates a schedule over links that buffer nothing.
//
// A link leads from one stage to another and carries outputs and gradients of all chunks. A message
// leaves its sender only when the receiver asks for it, and in order. Every transport does at least
// this, so a schedule that passes runs over all of them. Some schedules are refused although a
// buffering transport would run them.
//
// While a message of a stage waits on a link, the stage does not start another action that sends on
// that link. It may already ask for that action's input, with two exceptions: in evaluation, and if
// both actions are backwards of one chunk, because the input may then overwrite the buffer of the
// waiting message. What a stage hands over to itself is available when the action that made it
// ends.
#pragma once

#include "parallel/pipeline/schedule.h"

namespace masformer {

// Requires a schedule without missing or repeated actions. Throws Error that names the stages that
// get stuck, or that disagree on the order of their messages, and their next actions.
void check_for_deadlock(const Schedule& schedule);

}  // namespace masformer
