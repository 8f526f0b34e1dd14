// AdamW on the CPU. Each element is read and written once, so the update is memory-bound.
// Parameters are updated one after another; each is split among the threads at cache-line
// boundaries.
#include <cmath>

#include "runtime/ops/adamw.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"

namespace masformer::cpu {
namespace {

void update(const Stream& stream, const AdamWStep& step, float gradient_scale,
            const AdamWTensors& parameter) {
  const AdamWStep s = step;
  const float weight_decay = parameter.weight_decay;
  const float m_correction = bias_correction(s.beta1, s.step);
  const float v_correction = bias_correction(s.beta2, s.step);
  for_each_part(stream, parameter.gradient.elements(), line_elements, [&](Part elements, int) {
    const float* g_data = parameter.gradient.data<float>();
    float* w_data = parameter.master.data<float>();
    float* m_data = parameter.m.data<float>();
    float* v_data = parameter.v.data<float>();
#pragma omp simd
    for (std::int64_t i = elements.begin; i < elements.end; ++i) {
      const float g = gradient_scale * g_data[i];
      const float m_i = s.beta1 * m_data[i] + (1.0f - s.beta1) * g;
      const float v_i = s.beta2 * v_data[i] + (1.0f - s.beta2) * g * g;
      const float change = m_i * m_correction / (std::sqrt(v_i * v_correction) + s.epsilon);
      m_data[i] = m_i;
      v_data[i] = v_i;
      w_data[i] -= s.learning_rate * (change + weight_decay * w_data[i]);
    }
  });
}

}  // namespace

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient_scale,
           const std::vector<AdamWTensors>& parameters) {
  const float scale = *gradient_scale.data<float>();
  if (!std::isfinite(scale)) return;
  for (const AdamWTensors& parameter : parameters) update(stream, step, scale, parameter);
}

}  // namespace masformer::cpu
