#include "runtime/ops/layer_norm.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd) {
  const std::int64_t tokens = x.dim(0), features = x.dim(1);
  const OperandCheck check("layer_norm", stream);
  check.contiguous("x", x, {tokens, features});
  check.contiguous("weight", weight, {features});
  check.contiguous("bias", bias, {features});
  check.contiguous("y", y, {tokens, features});
  check.contiguous("mean", mean, {tokens});
  check.contiguous("rstd", rstd, {tokens});
  backend(stream, cpu::layer_norm)(stream, x, weight, bias, epsilon, y, mean, rstd);
}

void layer_norm_backward(const Stream& stream, const LayerNormBackward& args) {
  const std::int64_t tokens = args.x.dim(0), features = args.x.dim(1);
  const OperandCheck check("layer_norm_backward", stream);
  check.contiguous("dy", args.dy, {tokens, features});
  check.contiguous("x", args.x, {tokens, features});
  check.contiguous("weight", args.weight, {features});
  check.contiguous("mean", args.mean, {tokens});
  check.contiguous("rstd", args.rstd, {tokens});
  if (args.residual) check.contiguous("residual", args.residual, {tokens, features});
  check.contiguous("dx", args.dx, {tokens, features});
  check.contiguous("dweight", args.dweight, {features});
  check.contiguous("dbias", args.dbias, {features});
  backend(stream, cpu::layer_norm_backward)(stream, args);
}

}  // namespace masformer
