#include "model/memory/workspace.h"

#include <algorithm>

#include "runtime/ops/cuda_workspace.h"

namespace masformer {
namespace {

// Whether cuDNN may take the attention of some layer (ops/attention_cudnn_graph.h); own kernels,
// which take the rest, need nothing.
bool uses_cudnn(const ModelConfig& config, DType dtype) {
  const std::int64_t head_dim = config.head_dim();
  return dtype == DType::bf16 && (head_dim == 64 || head_dim == 128) &&
         std::ranges::any_of(config.spans,
                             [](const Span& span) { return span.kind != Span::Kind::block; });
}

}  // namespace

std::int64_t workspace_bytes(const ModelConfig& config, const TensorPlace& place,
                             const MicroBatchShape& shape, DType dtype, bool deterministic) {
  const std::int64_t tokens = shape.tokens();
  // Of the outputs whose biases have gradients.
  const std::int64_t widest = std::max(config.hidden, config.ffn / place.ranks);
  const cuda_workspace::AttentionSize attention{.samples = shape.samples,
                                                .sequence = shape.sequence,
                                                .heads = config.heads / place.ranks,
                                                .head_dim = config.head_dim()};
  std::int64_t most = std::max({cuda_workspace::gemm, cuda_workspace::column_sums(tokens, widest),
                                cuda_workspace::layer_norm_backward(tokens, config.hidden),
                                cuda_workspace::embedding_backward(tokens)});
  if (uses_cudnn(config, dtype)) {
    most = std::max(most, cuda_workspace::attention_backward(attention, deterministic));
  }
  return most;
}

}  // namespace masformer
