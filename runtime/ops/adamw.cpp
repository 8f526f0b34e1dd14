#include "runtime/ops/adamw.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient, Tensor master, Tensor m,
           Tensor v) {
  require(step.step >= 1, "adamw: steps count from 1, this one is {}", step.step);
  const OperandCheck check("adamw", stream);
  check.contiguous("gradient", gradient, gradient.shape());
  check.contiguous("master", master, gradient.shape());
  check.contiguous("m", m, gradient.shape());
  check.contiguous("v", v, gradient.shape());
  backend(stream, cpu::adamw)(stream, step, gradient, master, m, v);
}

}  // namespace masformer
