#include "runtime/cuda/gemm_runner.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

// Whether the product has something to sum.
bool multiply(const Stream& stream, const Gemm& product) {
  return product.c.elements() > 0 && product.a.columns() > 0 &&
         gemms_of(stream).try_multiply(product);
}

}  // namespace

void linear_gelu(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor before,
                 Tensor after) {
  if (multiply(stream, {.a = {x},
                        .b = {weight, true},
                        .c = after,
                        .bias = bias,
                        .epilogue = Epilogue::gelu,
                        .before = before})) {
    return;
  }
  cuda::linear(stream, x, weight, bias, before, {});
  cuda::gelu(stream, before, after);
}

// The bias's gradient is not summed on the way (DGELU_BGRAD): it would be rounded to bf16.
void linear_backward_input_gelu(const Stream& stream, Tensor dy, Tensor weight, Tensor before,
                                Tensor dbefore) {
  if (multiply(stream, {.a = {dy},
                        .b = {weight},
                        .c = dbefore,
                        .epilogue = Epilogue::gelu_backward,
                        .before = before})) {
    return;
  }
  cuda::linear_backward_input(stream, dy, weight, dbefore);
  cuda::gelu_backward(stream, before, dbefore, dbefore);
}

}  // namespace masformer::cuda
