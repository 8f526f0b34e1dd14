#include "runtime/ops/adamw.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient_scale,
           const std::vector<AdamWTensors>& parameters) {
  require(step.step >= 1, "adamw: the step is {}, but steps count from 1", step.step);
  const OperandCheck check(Op::adamw, stream);
  check.contiguous("gradient_scale", gradient_scale, {1});
  for (const AdamWTensors& parameter : parameters) {
    const Shape& shape = parameter.gradient.shape();
    check.contiguous("gradient", parameter.gradient, shape);
    check.contiguous("master", parameter.master, shape);
    check.contiguous("m", parameter.m, shape);
    check.contiguous("v", parameter.v, shape);
  }
  dispatch<Op::adamw>(stream, step, gradient_scale, parameters);
}

}  // namespace masformer
