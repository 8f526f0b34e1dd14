// What libmasformer_cuda.so gives to the program.
#include "runtime/backend.h"

#include "runtime/cuda/memory.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer {
namespace {

constexpr Backend table{
    .allocate = cuda::allocate,
    .release = cuda::release,
    .allocate_pinned = cuda::allocate_pinned,
    .release_pinned = cuda::release_pinned,
    .visible_devices = cuda::visible_devices,
    .make_device_stream = cuda::make_device_stream,
    .copy_across = cuda::copy_across,
    .supports_matmul = cuda::supports_matmul,
    .linear = cuda::linear,
    .linear_backward_input = cuda::linear_backward_input,
    .linear_backward_weight = cuda::linear_backward_weight,
    .linear_gelu = cuda::linear_gelu,
    .linear_backward_input_gelu = cuda::linear_backward_input_gelu,
    .attention = cuda::attention,
    .attention_backward = cuda::attention_backward,
    .gelu = cuda::gelu,
    .gelu_backward = cuda::gelu_backward,
    .layer_norm = cuda::layer_norm,
    .layer_norm_backward = cuda::layer_norm_backward,
    .add_residual = cuda::add_residual,
    .add_sum_of_squares = cuda::add_sum_of_squares,
    .clip_factor = cuda::clip_factor,
    .fill_zero = cuda::fill_zero,
    .copy = cuda::copy,
    .embedding = cuda::embedding,
    .embedding_backward = cuda::embedding_backward,
    .softmax_max = cuda::softmax_max,
    .softmax_sum = cuda::softmax_sum,
    .cross_entropy = cuda::cross_entropy,
    .cross_entropy_backward = cuda::cross_entropy_backward,
    .adamw = cuda::adamw,
};

}  // namespace
}  // namespace masformer

extern "C" const masformer::Backend* masformer_cuda_backend() {
  return &masformer::table;
}
