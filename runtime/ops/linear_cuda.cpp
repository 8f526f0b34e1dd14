// Products on a CUDA device, by cuBLASLt (runtime/cuda/gemm_runner.h). If cuBLASLt has a kernel for
// it, bias and residual are part of the product, so that y passes through memory once. Otherwise a
// kernel adds them after the product.
#include "runtime/cuda/gemm_runner.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/bias_cuda.h"

namespace masformer::cuda {

bool supports_matmul(const Stream& stream, DType dtype) {
  return gemms_of(stream).has(dtype);
}

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y, Tensor residual) {
  if (y.elements() == 0) return;
  GemmRunner& gemms = gemms_of(stream);
  Gemm gemm{.a = {x}, .b = {weight, true}, .c = y, .addend = residual, .bias = bias};
  if (x.dim(1) > 0 && gemms.try_multiply(gemm)) return;
  gemm.addend = gemm.bias = {};
  if (x.dim(1) > 0) {
    gemms.multiply(gemm);
  } else {
    add_row(stream, 0, {}, y);
  }
  if (residual) return cuda::add_residual(stream, residual, bias, y, y);
  if (bias) add_row(stream, 1, bias, y);
}

void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx) {
  if (dx.elements() == 0) return;
  if (dy.dim(1) == 0) return add_row(stream, 0, {}, dx);
  gemms_of(stream).multiply({.a = {dy}, .b = {weight}, .c = dx});
}

// The bias's gradient has its own kernels, because cuBLASLt can sum dy's columns with the product
// (BGRADB), but overwrites earlier sums instead of adding to them.
void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  if (dy.dim(0) == 0) return;
  if (dweight.elements() > 0) {
    gemms_of(stream).multiply({.a = {dy, true}, .b = {x}, .c = dweight, .addend = dweight});
  }
  if (dbias) add_column_sums(stream, dy, dbias);
}

}  // namespace masformer::cuda
