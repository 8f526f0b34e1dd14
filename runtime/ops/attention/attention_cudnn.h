// cuDNN's fused attention, which takes the cases that train: bf16, head dims 64 and 128, causal or
// with a window, a sequence's queries against all of its own keys.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/ops/attention/attention.h"

namespace masformer::cuda {

// How many keys cuDNN's causal mask of a span lets each query see: 0 for all before it. Nothing for
// a span that cuDNN has no mask for.
constexpr std::optional<std::int64_t> cudnn_window(const Span& span) {
  switch (span.kind) {  // a new kind gets its case here: the compiler asks for it
    case SpanKind::full:
      return 0;
    case SpanKind::window:
      return span.size;
    case SpanKind::block:
      return std::nullopt;
  }
  return std::nullopt;
}

// Whether cuDNN may take attention of such operands, as far as it is known without a device: for
// plans of working memory (cuda_workspace.h).
constexpr bool cudnn_may_take(DType dtype, std::int64_t head_dim, const Span& span) {
  return dtype == DType::bf16 && (head_dim == 64 || head_dim == 128) &&
         cudnn_window(span).has_value();
}

// Issue the op, or return false if cuDNN, this build of it or this device has no such case; then
// nothing was issued. `delta` and `dq_sum` of the backward are not written.
bool cudnn_attention(const Stream& stream, const AttentionForward& args);
bool cudnn_attention_backward(const Stream& stream, const AttentionBackward& args);

// The version of the library in use, 91300 for 9.13.0; 0 if the program is built without it.
std::size_t cudnn_version();

}  // namespace masformer::cuda
