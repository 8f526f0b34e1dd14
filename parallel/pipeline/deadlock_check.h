// The part of validate() that runs a schedule over channels that hold nothing.
#pragma once

#include "parallel/pipeline/schedule.h"

namespace masformer {

// Runs a complete schedule by the channel rule of validate(). Throws Error that names the stages
// that get stuck, or that disagree on the order of their messages, and the actions they stand at.
void simulate(const Schedule& schedule);

}  // namespace masformer
