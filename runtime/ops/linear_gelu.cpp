#include "runtime/ops/linear_gelu.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void linear_gelu(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor before,
                 Tensor after) {
  const std::int64_t tokens = x.dim(0), inputs = x.dim(1), outputs = weight.dim(0);
  const OperandCheck check(Op::linear_gelu, stream);
  const DType dtype = check.float_type("x", x);
  check.rows("x", x, {tokens, inputs}, dtype);
  check.rows("weight", weight, {outputs, inputs}, dtype);
  if (bias) check.contiguous("bias", bias, {outputs}, dtype);
  check.contiguous("before", before, {tokens, outputs}, dtype);
  check.contiguous("after", after, {tokens, outputs}, dtype);
  dispatch<Op::linear_gelu>(stream, x, weight, bias, before, after);
}

void linear_backward_input_gelu(const Stream& stream, Tensor dy, Tensor weight, Tensor before,
                                Tensor dbefore) {
  const std::int64_t tokens = dy.dim(0), outputs = dy.dim(1), inputs = weight.dim(1);
  const OperandCheck check(Op::linear_backward_input_gelu, stream);
  const DType dtype = check.float_type("dy", dy);
  check.rows("dy", dy, {tokens, outputs}, dtype);
  check.rows("weight", weight, {outputs, inputs}, dtype);
  check.contiguous("before", before, {tokens, inputs}, dtype);
  check.contiguous("dbefore", dbefore, {tokens, inputs}, dtype);
  dispatch<Op::linear_backward_input_gelu>(stream, dy, weight, before, dbefore);
}

}  // namespace masformer
