// The nearest layout that would fit where one does not.
#pragma once

#include <string>

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"

namespace masformer {

// Looks for a smaller micro-batch on the same ranks, then for two, four and eight times as many
// stages, tensor ranks or context ranks (with as many more ranks), until one can be planned.
// Returns a sentence that names it, or says that there is none. `options` are those of a refused
// plan.
std::string nearest_layout(Options options, int ranks, std::int64_t store_vocab, PlanInputs inputs);

}  // namespace masformer
