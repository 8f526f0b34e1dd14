#include <algorithm>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
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
  std::int64_t elements;
  float weight_decay;
  int first_block;
  bool aligned;
};

// Parameters that one kernel updates: they travel in its own parameters, of 4 KB at most.
struct Batch {
  static constexpr int most = 32;
  int count = 0;
  Updated tensors[most];
};

constexpr int threads = 256;
constexpr std::int64_t share = threads * 16;  // elements of a block, all of one parameter

template <int n>
__device__ void update_share(const Rule& rule, float scale, const Updated& tensor,
                             std::int64_t begin) {
  const std::int64_t end = min(tensor.elements, begin + share);
  for (std::int64_t at = begin + threadIdx.x * n; at < end; at += threads * n) {
    const std::int64_t left = end - at;
    float g[n], w[n], m[n], v[n];
    load_part(tensor.gradient + at, left, g);
    load_part(tensor.master + at, left, w);
    load_part(tensor.m + at, left, m);
    load_part(tensor.v + at, left, v);
#pragma unroll
    for (int i = 0; i < n; ++i) {
      const float scaled = scale * g[i];
      // Which product a compiler would round is not left to it: bits are the same for any n.
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

__global__ void update(Rule rule, Batch batch, const float* gradient_scale) {
  const float scale = *gradient_scale;
  if (!isfinite(scale)) return;
  const auto block = static_cast<int>(blockIdx.x);
  int i = 0;
  while (i + 1 < batch.count && batch.tensors[i + 1].first_block <= block) ++i;
  const Updated& tensor = batch.tensors[i];
  const std::int64_t begin = (block - tensor.first_block) * share;
  if (tensor.aligned) {
    update_share<pack_size<float>>(rule, scale, tensor, begin);
  } else {
    update_share<1>(rule, scale, tensor, begin);
  }
}

// Adds a parameter whose blocks come after `first_block` others; returns how many then come before
// the next.
int add(Batch& batch, const AdamWTensors& tensors, int first_block) {
  const auto& [gradient, master, m, v, weight_decay] = tensors;
  const std::int64_t elements = gradient.elements();
  batch.tensors[batch.count++] = {
      .gradient = gradient.data<float>(),
      .master = master.data<float>(),
      .m = m.data<float>(),
      .v = v.data<float>(),
      .elements = elements,
      .weight_decay = weight_decay,
      .first_block = first_block,
      .aligned = aligned(gradient) && aligned(master) && aligned(m) && aligned(v)};
  return first_block + static_cast<int>(blocks(elements, share));
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
  for (std::size_t begin = 0; begin < parameters.size(); begin += Batch::most) {
    const std::size_t end = std::min(parameters.size(), begin + Batch::most);
    Batch batch;
    int all_blocks = 0;
    for (std::size_t i = begin; i < end; ++i) all_blocks = add(batch, parameters[i], all_blocks);
    launch(stream, update, {all_blocks}, threads, rule, batch, gradient_scale.data<float>());
  }
}

}  // namespace masformer::cuda
