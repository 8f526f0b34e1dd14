#include "runtime/ops/linear.h"

#include "runtime/backend.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

bool supports_matmul(const Stream& stream, DType dtype) {
  return backend(stream).supports_matmul(stream, dtype);
}

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y, Tensor residual) {
  const std::int64_t tokens = x.dim(0), inputs = x.dim(1), outputs = weight.dim(0);
  const OperandCheck check(Op::linear, stream);
  const DType dtype = check.float_type("x", x);
  check.rows("x", x, {tokens, inputs}, dtype);
  check.rows("weight", weight, {outputs, inputs}, dtype);
  if (bias) check.contiguous("bias", bias, {outputs}, dtype);
  const bool widens = y.dtype() == DType::f32 && !residual;
  check.rows("y", y, {tokens, outputs}, widens ? DType::f32 : dtype);
  if (residual) {
    check.rows("residual", residual, {tokens, outputs}, dtype);
    require(y.elements() == 0 || residual.raw() != y.raw(),
            "linear: y and the residual are the same tensor, but must differ");
  }
  dispatch<Op::linear>(stream, x, weight, bias, y, residual);
}

void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx) {
  const std::int64_t tokens = dy.dim(0), outputs = dy.dim(1), inputs = weight.dim(1);
  const OperandCheck check(Op::linear_backward_input, stream);
  const DType dtype = check.float_type("dy", dy);
  check.rows("dy", dy, {tokens, outputs}, dtype);
  check.rows("weight", weight, {outputs, inputs}, dtype);
  check.rows("dx", dx, {tokens, inputs}, dtype);
  dispatch<Op::linear_backward_input>(stream, dy, weight, dx);
}

void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  const std::int64_t tokens = dy.dim(0), outputs = dy.dim(1), inputs = x.dim(1);
  const OperandCheck check(Op::linear_backward_weight, stream);
  const DType dtype = check.float_type("dy", dy);
  check.rows("dy", dy, {tokens, outputs}, dtype);
  check.rows("x", x, {tokens, inputs}, dtype);
  check.rows("dweight", dweight, {outputs, inputs});
  if (dbias) check.contiguous("dbias", dbias, {outputs});
  dispatch<Op::linear_backward_weight>(stream, dy, x, dweight, dbias);
}

}  // namespace masformer
