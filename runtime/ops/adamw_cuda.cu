// AdamW on a CUDA device. A model has hundreds of parameters, many of them small, so one launch
// updates up to 32 of them (tensor_batch.h). The clip factor is read on the device, so that the
// host does not wait for the gradients' norm.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/cuda/tensor_batch.h"
#include "runtime/ops/adamw.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

struct Rule {
  float learning_rate, beta1, beta2, epsilon, m_correction, v_correction;
};

struct Updated {
  const float* gradient;
  float *master, *m, *v;
  float weight_decay;
  bool aligned;
};

constexpr int update_threads = 256;
constexpr std::int64_t elements_per_block = update_threads * 16;  // all of one parameter
using UpdateBatch = TensorBatch<Updated, 32, elements_per_block>;

template <int n>
__device__ void update_share(const Rule& rule, float scale, const Updated& tensor,
                             std::int64_t begin, std::int64_t end) {
  for (std::int64_t at = begin + threadIdx.x * n; at < end; at += update_threads * n) {
    const std::int64_t left = end - at;
    float g[n], w[n], m[n], v[n];
    load_part(tensor.gradient + at, left, g);
    load_part(tensor.master + at, left, w);
    load_part(tensor.m + at, left, m);
    load_part(tensor.v + at, left, v);
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const float scaled = scale * g[i];
      // fmaf() fixes which product is rounded. Otherwise the compiler's choice, and with it bits,
      // could depend on n.
      m[i] = fmaf(rule.beta1, m[i], (1.0f - rule.beta1) * scaled);
      v[i] = fmaf(rule.beta2, v[i], (1.0f - rule.beta2) * scaled * scaled);
      const float change =
          m[i] * rule.m_correction / (sqrtf(v[i] * rule.v_correction) + rule.epsilon);
      w[i] -= rule.learning_rate * (change + tensor.weight_decay * w[i]);
    }
    store_part(w, tensor.master + at, left);
    store_part(m, tensor.m + at, left);
    store_part(v, tensor.v + at, left);
  }
}

__global__ void update(Rule rule, UpdateBatch batch, const float* gradient_scale) {
  const float scale = *gradient_scale;
  if (!isfinite(scale)) return;
  const auto [tensor, begin, end] = batch[static_cast<int>(blockIdx.x)];
  if (tensor.aligned) {
    update_share<pack_size<float>>(rule, scale, tensor, begin, end);
  } else {
    update_share<1>(rule, scale, tensor, begin, end);
  }
}

void add(UpdateBatch& batch, const AdamWTensors& tensors) {
  const auto& [gradient, master, m, v, weight_decay] = tensors;
  batch.add({.gradient = gradient.data<float>(),
             .master = master.data<float>(),
             .m = m.data<float>(),
             .v = v.data<float>(),
             .weight_decay = weight_decay,
             .aligned = aligned(gradient) && aligned(master) && aligned(m) && aligned(v)},
            gradient.elements());
}

}  // namespace

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient_scale,
           const std::vector<AdamWTensors>& parameters) {
  const Rule rule{.learning_rate = step.learning_rate,
                  .beta1 = step.beta1,
                  .beta2 = step.beta2,
                  .epsilon = step.epsilon,
                  .m_correction = bias_correction(step.beta1, step.step),
                  .v_correction = bias_correction(step.beta2, step.step)};
  in_batches<UpdateBatch>(parameters, add, [&](const UpdateBatch& batch) {
    launch(stream, update, {batch.shares()}, update_threads, rule, batch,
           gradient_scale.data<float>());
  });
}

}  // namespace masformer::cuda
