#include "runtime/ops/elementwise.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y) {
  const std::int64_t tokens = x.dim(0), features = x.dim(1);
  const OperandCheck check("add_residual", stream);
  check.rows("x", x, {tokens, features});
  if (bias) check.contiguous("bias", bias, {features});
  check.rows("y", y, {tokens, features});
  backend(stream, cpu::add_residual)(stream, x, bias, y);
}

double sum_of_squares(const Stream& stream, Tensor x) {
  OperandCheck("sum_of_squares", stream).contiguous("x", x, x.shape());
  return backend(stream, cpu::sum_of_squares)(stream, x);
}

void fill_zero(const Stream& stream, Tensor x) {
  OperandCheck("fill_zero", stream).contiguous("x", x, x.shape(), x.dtype());
  backend(stream, cpu::fill_zero)(stream, x);
}

void copy(const Stream& stream, Tensor from, Tensor to) {
  const OperandCheck check("copy", stream);
  check.contiguous("from", from, from.shape(), from.dtype());
  check.contiguous("to", to, from.shape(), from.dtype());
  backend(stream, cpu::copy)(stream, from, to);
}

}  // namespace masformer
