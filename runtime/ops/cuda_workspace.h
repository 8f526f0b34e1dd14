// Working memory, in bytes, that ops need on a CUDA device in addition to their operands. Ops use
// it one after another, so a rank needs the maximum over its ops. Computed without a device, for
// plans.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/rounding.h"

namespace masformer::cuda_workspace {

// The most that a product may use: what NVIDIA recommends for Hopper.
constexpr std::int64_t gemm = 32 << 20;

// For the sum over the rows of a matrix (gradients of biases): one partial sum for this many rows.
constexpr std::int64_t rows_of_column_sum = 256;
constexpr std::int64_t column_sums(std::int64_t rows, std::int64_t columns) {
  return ceil_div(rows, rows_of_column_sum) * columns * std::int64_t{sizeof(float)};
}

// Rows that one block of layer_norm_backward() sums for the gradients of weight and bias: enough
// rows that the blocks' sums are small compared with the inputs, but few enough that the whole
// device has work and that fp32 adds them accurately.
constexpr std::int64_t rows_of_norm_sum(std::int64_t rows) {
  return std::clamp<std::int64_t>(ceil_div(rows, 512), 4, 32);
}
constexpr std::int64_t layer_norm_backward(std::int64_t rows, std::int64_t features) {
  return ceil_div(rows, rows_of_norm_sum(rows)) * 2 * features * std::int64_t{sizeof(float)};
}

// The sorted tokens: their numbers and their ids.
constexpr std::int64_t embedding_backward(std::int64_t tokens) {
  return 2 * tokens * std::int64_t{sizeof(std::int32_t)};
}

struct AttentionSize {
  std::int64_t samples = 1, sequence = 1, heads = 1, key_heads = 1, head_dim = 1;
};

// cuDNN's attention: dq summed in fp32, or, if it is deterministic, dS in bf16 for each pair of
// query and key; rows in tiles of 128; and the rows' statistics. If several heads share a key, dk
// and dv of each of them, in bf16, before they are added up (dK_fullhead and dV_fullhead in the
// frontend's graph).
constexpr std::int64_t attention_backward(const AttentionSize& size, bool deterministic) {
  const std::int64_t rows = round_up(size.sequence, 128);
  const std::int64_t all_rows = size.samples * size.heads * rows;
  const std::int64_t unshared = size.key_heads < size.heads ? 2 * 2 * size.head_dim : 0;
  return all_rows * ((deterministic ? 2 * rows : 4 * size.head_dim) + unshared) + 8 * all_rows;
}

}  // namespace masformer::cuda_workspace
