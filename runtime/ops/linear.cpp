#include "runtime/ops/linear.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y) {
  const std::int64_t tokens = x.dim(0), inputs = x.dim(1), outputs = weight.dim(0);
  const OperandCheck check("linear", stream);
  check.rows("x", x, {tokens, inputs});
  check.rows("weight", weight, {outputs, inputs});
  if (bias) check.contiguous("bias", bias, {outputs});
  check.rows("y", y, {tokens, outputs});
  backend(stream, cpu::linear)(stream, x, weight, bias, y);
}

void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx) {
  const std::int64_t tokens = dy.dim(0), outputs = dy.dim(1), inputs = weight.dim(1);
  const OperandCheck check("linear_backward_input", stream);
  check.rows("dy", dy, {tokens, outputs});
  check.rows("weight", weight, {outputs, inputs});
  check.rows("dx", dx, {tokens, inputs});
  backend(stream, cpu::linear_backward_input)(stream, dy, weight, dx);
}

void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  const std::int64_t tokens = dy.dim(0), outputs = dy.dim(1), inputs = x.dim(1);
  const OperandCheck check("linear_backward_weight", stream);
  check.rows("dy", dy, {tokens, outputs});
  check.rows("x", x, {tokens, inputs});
  check.rows("dweight", dweight, {outputs, inputs});
  if (dbias) check.contiguous("dbias", dbias, {outputs});
  backend(stream, cpu::linear_backward_weight)(stream, dy, x, dweight, dbias);
}

}  // namespace masformer
