// The actions of a stage as one line of text, in which checkpoints keep an order that was searched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/pipeline/schedule.h"

namespace masformer {

// "F0 F1 I0 F2.1 W0": forward, backward (B), backward_input (I) or backward_weight (W), the
// micro-batch, and after a point the chunk if it is not 0.
std::string action_text(const std::vector<Action>& actions);

// Reads such a line. Throws Error if it is anything else.
std::vector<Action> parse_actions(std::string_view text);

}  // namespace masformer
