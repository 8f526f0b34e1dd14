// GELU as an epilogue of cuBLASLt's products where it has such kernels
// (GemmRunner::try_multiply()), which saves a pass through memory; otherwise the two ops, one after
// the other.
#include "runtime/cuda/gemm_runner.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

// Issues the product and its epilogue as one. Returns false if there is no such kernel, or nothing
// to sum.
bool multiply(const Stream& stream, const Gemm& gemm) {
  return gemm.c.elements() > 0 && gemm.a.columns() > 0 && gemms_of(stream).try_multiply(gemm);
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

// The bias's gradient is not summed in the same epilogue (DGELU_BGRAD), which would round it to
// bf16.
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
