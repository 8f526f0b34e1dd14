// GELU on the CPU, a vector at a time. It is computed with exp() in place of tanh(): one division
// and one exponential for each element, and full relative accuracy for negative x.
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

constexpr float sqrt_2_over_pi = 0.797884561f;
constexpr float cubic = 0.044715f;

// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) with u = sqrt(2/pi) (x + cubic x^3), which keeps its
// relative accuracy where tanh(u) is near -1.
Vec gate(Vec x) {
  const Vec u = sqrt_2_over_pi * (x + cubic * x * x * x);
  return 1.0f / (1.0f + exp(-2.0f * u));
}

}  // namespace

void gelu(const Stream& stream, Tensor x, Tensor y) {
  const auto function = [](Vec a) { return a * gate(a); };
  with_float_type(x.dtype(), [&]<class T>(T) {
    for_each_part(stream, x.elements(), line_elements,
                  [&](Part part, int) { map_vectors(part, function, y.data<T>(), x.data<T>()); });
  });
}

// gelu'(x) = gate + x gate', gate' = 2 u' gate (1 - gate)
void gelu_backward(const Stream& stream, Tensor x, Tensor dy, Tensor dx) {
  const auto function = [](Vec a, Vec da) {
    const Vec g = gate(a);
    const Vec du = sqrt_2_over_pi * (1.0f + 3.0f * cubic * a * a);
    return da * (g + a * (2.0f * du * g * (1.0f - g)));
  };
  with_float_type(x.dtype(), [&]<class T>(T) {
    for_each_part(stream, x.elements(), line_elements, [&](Part part, int) {
      map_vectors(part, function, dx.data<T>(), x.data<T>(), dy.data<T>());
    });
  });
}

}  // namespace masformer::cpu
