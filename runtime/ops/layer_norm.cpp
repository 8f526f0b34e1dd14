#include "runtime/ops/layer_norm.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd) {
  const std::int64_t tokens = x.dim(0), features = x.dim(1);
  const OperandCheck check(Op::layer_norm, stream);
  const DType dtype = check.float_type("x", x);
  check.contiguous("x", x, {tokens, features}, dtype);
  check.contiguous("weight", weight, {features}, dtype);
  check.contiguous("bias", bias, {features}, dtype);
  check.contiguous("y", y, {tokens, features}, dtype);
  check.contiguous("mean", mean, {tokens});
  check.contiguous("rstd", rstd, {tokens});
  dispatch<Op::layer_norm>(stream, x, weight, bias, epsilon, y, mean, rstd);
}

void layer_norm_backward(const Stream& stream, const LayerNormBackward& args) {
  const std::int64_t tokens = args.x.dim(0), features = args.x.dim(1);
  const OperandCheck check(Op::layer_norm_backward, stream);
  const DType dtype = check.float_type("x", args.x);
  check.contiguous("dy", args.dy, {tokens, features}, dtype);
  check.contiguous("x", args.x, {tokens, features}, dtype);
  check.contiguous("weight", args.weight, {features}, dtype);
  check.contiguous("mean", args.mean, {tokens});
  check.contiguous("rstd", args.rstd, {tokens});
  if (args.residual) check.contiguous("residual", args.residual, {tokens, features}, dtype);
  check.contiguous("dx", args.dx, {tokens, features}, dtype);
  check.contiguous("dweight", args.dweight, {features});
  check.contiguous("dbias", args.dbias, {features});
  dispatch<Op::layer_norm_backward>(stream, args);
}

}  // namespace masformer
