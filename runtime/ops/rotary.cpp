#include "runtime/ops/rotary.h"

#include <cmath>

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void rotary(const Stream& stream, Tensor x, Tensor positions, const Rotation& rotation) {
  const std::int64_t tokens = x.dim(0), width = x.dim(1), head_dim = rotation.head_dim;
  const OperandCheck check(Op::rotary, stream);
  check.rows("x", x, {tokens, width}, check.float_type("x", x));
  check.contiguous("positions", positions, {tokens}, DType::i32);
  require(head_dim > 0 && head_dim % 2 == 0 && width % head_dim == 0,
          "rotary: the head dim is {}, but it must be even and divide the width {}", head_dim,
          width);
  require(std::isfinite(rotation.theta) && rotation.theta > 0,
          "rotary: theta is {}, but it must be above 0", rotation.theta);
  dispatch<Op::rotary>(stream, x, positions, rotation);
}

}  // namespace masformer
