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

// Returns one message per violation, with values and remedy; empty if the sizes fit. Checks `model`
// against the limits of the options too, because it may come from a checkpoint and its vocabulary
// from a token store. `micro_batches`: the number per data rank and step; an evaluation has one per
// pipeline stage.
std::vector<std::string> size_violations(const Options& options, const ModelConfig& model,
                                         Purpose purpose, std::int64_t micro_batches);

}  // namespace masformer
