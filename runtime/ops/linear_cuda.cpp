#include "runtime/cuda/gemm_runner.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/bias_cuda.h"

namespace masformer::cuda {

bool supports_matmul(const Stream& stream, DType dtype) {
  return gemms_of(stream).has(dtype);
}

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y, Tensor residual) {
  if (y.elements() == 0) return;
  GemmRunner& products = gemms_of(stream);
  Gemm product{.a = {x}, .b = {weight, true}, .c = y, .addend = residual, .bias = bias};
  if (x.dim(1) > 0 && products.try_multiply(product)) return;
  product.addend = product.bias = {};
  if (x.dim(1) > 0) {
    products.multiply(product);
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

// The bias's gradient has its own kernel: cuBLASLt can sum dy's columns beside the product
// (BGRADB), but overwrites what was summed before.
void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  if (dy.dim(0) == 0) return;
  if (dweight.elements() > 0) {
    gemms_of(stream).multiply({.a = {dy, true}, .b = {x}, .c = dweight, .addend = dweight});
  }
  if (dbias) add_column_sums(stream, dy, dbias);
}

}  // namespace masformer::cuda
