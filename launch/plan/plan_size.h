// Whether the sizes of a plan can be computed at all. Options that are each within their limits
// (launch/options/limits.h) may have products that exceed 64 bits, or that take longer to plan than
// to train; everything after this check multiplies without looking.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/options/options.h"
#include "model/config.h"
#include "model/parameters.h"

namespace masformer {

// The most layers x micro-batches of one data rank's step. The replay of a schedule holds the place
// of every buffer of each pair.
constexpr std::int64_t max_planned_passes = 1 << 20;

// Every violation, with its values and remedy; none where the sizes fit. `model` may come from a
// checkpoint, and its vocabulary from a token store, so it is held to the limits of the options,
// too. `micro_batches`: of each data rank in a step; an evaluation has one per pipeline stage.
std::vector<std::string> size_violations(const Options& options, const ModelConfig& model,
                                         Purpose purpose, std::int64_t micro_batches);

}  // namespace masformer
