// How large the model is and how much arithmetic it takes, summed over what its layers report.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/layers/layer.h"

namespace masformer {

// Trainable numbers; a tied head counts once, padding never.
std::int64_t parameter_count(const ModelConfig& config);

// Of one sequence of `sequence` tokens, forward: see Layer::forward_flops(). Backward is twice
// that.
double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

// Of one sequence's share of a training step: forward and backward.
double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

}  // namespace masformer
