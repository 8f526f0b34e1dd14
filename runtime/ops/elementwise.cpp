#include "runtime/ops/elementwise.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y) {
  const std::int64_t tokens = x.dim(0), features = x.dim(1);
  const OperandCheck check("add_residual", stream);
  const DType dtype = check.float_type("x", x);
  check.rows("x", x, {tokens, features}, dtype);
  if (bias) check.contiguous("bias", bias, {features}, dtype);
  check.rows("y", y, {tokens, features}, dtype);
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
  if (to.dtype() != from.dtype()) {
    check.float_type("from", from);
    check.float_type("to", to);
  }
  check.contiguous("to", to, from.shape(), to.dtype());
  backend(stream, cpu::copy)(stream, from, to);
}

}  // namespace masformer
