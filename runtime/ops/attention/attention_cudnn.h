// cuDNN's fused attention, which takes the cases that train: bf16, head dims 64 and 128, causal or
// with a window, a sequence's queries against all of its own keys.
#pragma once

#include "runtime/ops/attention/attention.h"

namespace masformer::cuda {

// Issue the op, or return false where cuDNN, this build of it or this device has no such case; then
// nothing was done. `delta` and `dq_sum` of the backward are left alone.
bool cudnn_attention(const Stream& stream, const AttentionForward& args);
bool cudnn_attention_backward(const Stream& stream, const AttentionBackward& args);

// The version of the library in use, 91300 for 9.13.0; 0 if the program is built without it.
std::size_t cudnn_version();

}  // namespace masformer::cuda
