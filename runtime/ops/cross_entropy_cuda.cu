// Softmax cross-entropy on a CUDA device. It is memory-bound. A chunk of tokens has few, long rows
// of logits. So each step reads a row once, by one block of many threads with several packs in
// flight. Each thread sums its exponentials in fp32; the threads' sums are added in double.
#include <cmath>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/cuda/reduce.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/cross_entropy.h"

namespace masformer::cuda {
namespace {

constexpr int row_threads = 512;  // per block, which reads one row of logits

// The column of `label` in the shard; -1 if it is in another shard or predicts nothing.
__device__ int column_of(std::int32_t label, VocabularyShard shard) {
  const std::int64_t column = label - shard.first;
  return label >= 0 && column >= 0 && column < shard.valid ? static_cast<int>(column) : -1;
}

// Calls visit(logit) for this thread's share of the first `words` logits of a row. Several packs
// are loaded at once.
template <int n, class Visit>
__device__ void for_each_word(const float* row, int words, const Visit& visit) {
  constexpr int batch = 4, step = row_threads * n;
  const auto thread = static_cast<int>(threadIdx.x);
  const int in_packs = words / n * n;
  int v = thread * n;
  for (; v + (batch - 1) * step < in_packs; v += batch * step) {
    float logits[batch][n];
#pragma unroll
    for (int i = 0; i < batch; ++i) load(row + v + i * step, logits[i]);
    for (const auto& pack : logits) {
      for (const float logit : pack) visit(logit);
    }
  }
  for (; v < in_packs; v += step) {
    float pack[n];
    load(row + v, pack);
    for (const float logit : pack) visit(logit);
  }
  if (in_packs + thread < words) visit(row[in_packs + thread]);
}

template <int n>
__global__ void __launch_bounds__(row_threads, 2)
    find_max(Rows<const float> logits, VocabularyShard shard, float* max) {
  float largest = -INFINITY;
  for_each_word<n>(logits[blockIdx.x], static_cast<int>(shard.valid),
                   [&](float logit) { largest = Larger()(largest, logit); });
  largest = over_block(largest, Larger());
  if (threadIdx.x == 0) max[blockIdx.x] = largest;
}

// One number per token, [T] each.
struct Tokens {
  const std::int32_t* labels;
  const float* max;
  float *sum, *target;
};

// One block per token.
template <int n>
__global__ void __launch_bounds__(row_threads, 2)
    sum_exp(Rows<const float> logits, VocabularyShard shard, Tokens tokens) {
  const std::int64_t t = blockIdx.x;
  const float max = tokens.max[t];
  float share = 0;
  for_each_word<n>(logits[t], static_cast<int>(shard.valid),
                   [&](float logit) { share += expf(logit - max); });
  const double sum = over_block(double(share));
  if (threadIdx.x != 0) return;
  const int column = column_of(tokens.labels[t], shard);
  tokens.sum[t] = static_cast<float>(sum);
  tokens.target[t] = column < 0 ? 0.0f : logits[t][column];
}

}  // namespace

void softmax_max(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor max) {
  with_pack<float>(packs(logits), [&](auto n) {
    launch(stream, find_max<n.value>, {logits.dim(0)}, row_threads, rows_of<const float>(logits),
           shard, max.data<float>());
  });
}

void softmax_sum(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor labels,
                 Tensor max, Tensor sum, Tensor target) {
  const Tokens tokens{labels.data<std::int32_t>(), max.data<float>(), sum.data<float>(),
                      target.data<float>()};
  with_pack<float>(packs(logits), [&](auto n) {
    launch(stream, sum_exp<n.value>, {logits.dim(0)}, row_threads, rows_of<const float>(logits),
           shard, tokens);
  });
}

namespace {

// One block. `lse` may be the sums.
__global__ void add_loss(Tokens tokens, int count, float* lse, double* loss) {
  double total = 0;
  for (int t = static_cast<int>(threadIdx.x); t < count; t += row_threads) {
    const double exact = double(tokens.max[t]) + log(double(tokens.sum[t]));
    lse[t] = static_cast<float>(exact);
    if (tokens.labels[t] >= 0) total += exact - double(tokens.target[t]);
  }
  total = over_block(total);
  if (threadIdx.x == 0) *loss += total;
}

}  // namespace

void cross_entropy(const Stream& stream, Tensor labels, Tensor max, Tensor sum, Tensor target,
                   Tensor lse, Tensor loss) {
  const Tokens tokens{labels.data<std::int32_t>(), max.data<float>(), sum.data<float>(),
                      target.data<float>()};
  launch(stream, add_loss, {1}, row_threads, tokens, labels.dim(0), lse.data<float>(),
         loss.data<double>());
}

namespace {

template <class T>
struct Gradient {
  Rows<const float> logits;
  Rows<T> dlogits;
  int columns;
  VocabularyShard shard;
  const std::int32_t* labels;
  const float* lse;
  float scale;
};

// A block works on some of the columns of one row.
template <int n, class T>
__global__ void softmax_less_label(Gradient<T> a) {
  const std::int64_t t = blockIdx.x;
  const int v = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * n;
  if (v >= a.columns) return;
  const std::int32_t label = a.labels[t];
  const int words = label < 0 ? 0 : static_cast<int>(a.shard.valid);
  const int column = column_of(label, a.shard);
  const float lse = a.lse[t];
  float logits[n], gradient[n];
  load(a.logits[t] + v, logits);
#pragma unroll
  for (int i = 0; i < n; ++i) {
    const float softmax = a.scale * expf(logits[i] - lse);
    gradient[i] = v + i >= words ? 0.0f : v + i == column ? softmax - a.scale : softmax;
  }
  store(gradient, a.dlogits[t] + v);
}

}  // namespace

void cross_entropy_backward(const Stream& stream, Tensor logits, VocabularyShard shard,
                            Tensor labels, Tensor lse, float scale, Tensor dlogits) {
  constexpr int threads = 256;
  const std::int64_t columns = logits.dim(1);
  with_float_type(dlogits.dtype(), [&]<class T>(T) {
    const Gradient<T> args{.logits = rows_of<const float>(logits),
                           .dlogits = rows_of<T>(dlogits),
                           .columns = static_cast<int>(columns),
                           .shard = shard,
                           .labels = labels.data<std::int32_t>(),
                           .lse = lse.data<float>(),
                           .scale = scale};
    with_pack<T>(packs(logits) && packs(dlogits), [&](auto n) {
      launch(stream, softmax_less_label<n.value, T>,
             {logits.dim(0), ceil_div(columns, threads * n)}, threads, args);
    });
  });
}

}  // namespace masformer::cuda
