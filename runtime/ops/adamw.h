// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  std::int64_t step = 1;  // counts from 1, for the bias correction
};

// 1 / (1 - beta^step): m and v start at zero, so they are too small at first.
inline float bias_correction(float beta, std::int64_t step) {
  return static_cast<float>(1.0 / (1.0 - std::pow(double(beta), double(step))));
}

// The tensors of one parameter: fp32, contiguous, of equal shape.
struct AdamWTensors {
  Tensor gradient;  // not changed
  Tensor master, m, v;
  float weight_decay = 0;  // 0 for norms and biases
};

// With g = gradient_scale gradient; the scale, a tensor [1] fp32, is the clip factor:
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   master -= lr (m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon)
//                 + weight_decay master)
// Changes nothing if the scale is not finite.
void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient_scale,
           const std::vector<AdamWTensors>& parameters);

}  // namespace masformer
