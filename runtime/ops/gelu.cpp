#include "runtime/ops/gelu.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void gelu(const Stream& stream, Tensor x, Tensor y) {
  const OperandCheck check(Op::gelu, stream);
  const DType dtype = check.float_type("x", x);
  check.contiguous("x", x, x.shape(), dtype);
  check.contiguous("y", y, x.shape(), dtype);
  dispatch<Op::gelu>(stream, x, y);
}

void gelu_backward(const Stream& stream, Tensor x, Tensor dy, Tensor dx) {
  const OperandCheck check(Op::gelu_backward, stream);
  const DType dtype = check.float_type("x", x);
  check.contiguous("x", x, x.shape(), dtype);
  check.contiguous("dy", dy, x.shape(), dtype);
  check.contiguous("dx", dx, x.shape(), dtype);
  dispatch<Op::gelu_backward>(stream, x, dy, dx);
}

}  // namespace masformer
