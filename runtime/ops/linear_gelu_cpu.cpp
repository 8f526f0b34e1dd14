// Runs the two ops one after the other.
#include "runtime/ops/backend_cpu.h"

namespace masformer::cpu {

void linear_gelu(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor before,
                 Tensor after) {
  cpu::linear(stream, x, weight, bias, before, {});
  cpu::gelu(stream, before, after);
}

void linear_backward_input_gelu(const Stream& stream, Tensor dy, Tensor weight, Tensor before,
                                Tensor dbefore) {
  cpu::linear_backward_input(stream, dy, weight, dbefore);
  cpu::gelu_backward(stream, before, dbefore, dbefore);
}

}  // namespace masformer::cpu
