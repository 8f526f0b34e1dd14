#include "runtime/ops/gelu.h"

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void gelu(const Stream& stream, Tensor x, Tensor y) {
  const OperandCheck check("gelu", stream);
  check.contiguous("x", x, x.shape());
  check.contiguous("y", y, x.shape());
  backend(stream, cpu::gelu)(stream, x, y);
}

void gelu_backward(const Stream& stream, Tensor x, Tensor dy, Tensor dx) {
  const OperandCheck check("gelu_backward", stream);
  check.contiguous("x", x, x.shape());
  check.contiguous("dy", dy, x.shape());
  check.contiguous("dx", dx, x.shape());
  backend(stream, cpu::gelu_backward)(stream, x, dy, dx);
}

}  // namespace masformer
