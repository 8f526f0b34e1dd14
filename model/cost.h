// The model's number of parameters and of FLOPs: sums over what its layers report.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/layers/layer.h"

namespace masformer {

// The number of trainable elements. A tied head counts once; padding does not count.
std::int64_t parameter_count(const ModelConfig& config);

// Floating-point operations of the forward of one sequence of `sequence` tokens, counted as
// Layer::forward_flops() does. The backward takes twice as many.
double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

// The same for forward and backward of one sequence, as in a training step.
double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

}  // namespace masformer
