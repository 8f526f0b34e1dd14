// What the ops of a stage take of a CUDA device's memory besides their operands: the most that one
// of them does, since they run one after the other.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/layers/layer.h"

namespace masformer {

// In bytes, for training. `deterministic`: as the stream's.
std::int64_t workspace_bytes(const ModelConfig& config, const TensorPlace& place,
                             const MicroBatchShape& shape, DType dtype, bool deterministic);

}  // namespace masformer
