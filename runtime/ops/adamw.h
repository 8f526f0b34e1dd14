// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
#pragma once

#include <cstdint>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0;    // 0 for norms and biases
  float gradient_scale = 1;  // multiplies the gradient first: the clip factor
  std::int64_t step = 1;     // counts from 1, for the bias correction
};

// With g = gradient_scale gradient:
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   master -= lr (m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + epsilon)
//                 + weight_decay master)
// All fp32, contiguous, of equal shape; the gradient is left as it is.
void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient, Tensor master, Tensor m,
           Tensor v);

}  // namespace masformer
