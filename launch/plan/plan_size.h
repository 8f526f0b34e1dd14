// Checks whether a plan of these sizes can be computed. Options that are each within their limits
// (launch/options/limits.h) may have products that exceed 64 bits, or that take longer to plan than
// to train. Code that runs after this check multiplies without further checks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/options/options.h"
#include "model/config.h"
#include "model/parameters.h"

namespace masformer {

// The limit on layers x micro-batches of one data rank's step. Planning replays the schedule and
// keeps the place of every buffer for each pair of layer and micro-batch.
constexpr std::int64_t max_planned_passes = 1 << 20;

// Every violation, with its values and remedy; none where the sizes fit. `model` may come from a
// checkpoint, and its vocabulary from a token store, so it is held to the limits of the options,
// too. `micro_batches`: of each data rank in a step; an evaluation has one per pipeline stage.
std::vector<std::string> size_violations(const Options& options, const ModelConfig& model,
                                         Purpose purpose, std::int64_t micro_batches);

}  // namespace masformer
