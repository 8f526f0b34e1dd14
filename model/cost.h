// How much arithmetic the model is: multiply-adds counted as 2, matrix products and attention
// alone, as published tables do.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace masformer {

enum class PairCount {
  visible,  // query-key pairs that the spans let through
  dense,    // all S^2 pairs of every layer, as some published tables count
};

// Of one sequence of `sequence` tokens, forward. Backward is twice that.
double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

// Of one sequence's share of a training step: forward and backward.
double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count);

}  // namespace masformer
