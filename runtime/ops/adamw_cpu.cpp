#include <cmath>

#include "runtime/ops/adamw.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"

namespace masformer::cpu {
namespace {

// 1 / (1 - beta^step): m and v start at zero and are too small at first.
float bias_correction(float beta, std::int64_t step) {
  return static_cast<float>(1.0 / (1.0 - std::pow(double(beta), double(step))));
}

}  // namespace

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient, Tensor master, Tensor m,
           Tensor v) {
  const AdamWStep s = step;
  const float m_correction = bias_correction(s.beta1, s.step);
  const float v_correction = bias_correction(s.beta2, s.step);
  for_each_part(stream, gradient.elements(), line_elements, [&](Part elements, int) {
    const float* g_data = gradient.data<float>();
    float* w_data = master.data<float>();
    float* m_data = m.data<float>();
    float* v_data = v.data<float>();
#pragma omp simd
    for (std::int64_t i = elements.begin; i < elements.end; ++i) {
      const float g = s.gradient_scale * g_data[i];
      const float m_i = s.beta1 * m_data[i] + (1.0f - s.beta1) * g;
      const float v_i = s.beta2 * v_data[i] + (1.0f - s.beta2) * g * g;
      const float change = m_i * m_correction / (std::sqrt(v_i * v_correction) + s.epsilon);
      m_data[i] = m_i;
      v_data[i] = v_i;
      w_data[i] -= s.learning_rate * (change + s.weight_decay * w_data[i]);
    }
  });
}

}  // namespace masformer::cpu
