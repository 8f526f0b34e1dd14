// The part of validate() that runs a schedule over links that hold nothing.
//
// A message leaves its sender only when the receiver asks for it, in order: the strictest that a
// transport may do. A sender with a message still waiting on a link asks for the input of its next
// action that sends on it, but does not start it; it does not even ask where both are backwards of
// one chunk (the input may take the message's place) and in evaluation. A link leads from one stage
// to another and carries outputs and gradients of all chunks. What a stage hands over to itself is
// there from the end of the action that made it.
#pragma once

#include "parallel/pipeline/schedule.h"

namespace masformer {

// Throws Error that names the stages that get stuck, or that disagree on the order of their
// messages, and the actions at which they are. The schedule is complete.
void check_for_deadlock(const Schedule& schedule);

}  // namespace masformer
