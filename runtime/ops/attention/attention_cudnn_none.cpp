// For builds without cuDNN, and the fake of CUDA: own kernels take all cases.
#include "runtime/ops/attention/attention_cudnn.h"

namespace masformer::cuda {

bool cudnn_attention(const Stream&, const AttentionForward&) {
  return false;
}
bool cudnn_attention_backward(const Stream&, const AttentionBackward&) {
  return false;
}
std::size_t cudnn_version() {
  return 0;
}

}  // namespace masformer::cuda
