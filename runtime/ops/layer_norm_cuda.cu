// Layer norm on a CUDA device. It is memory-bound, so a row is read once: a block processes one row
// at a time, and each thread keeps its columns of the row in registers, two packs of 16 bytes. The
// rest of a longer row is read again from memory or caches whenever it is needed.
//
// The backward processes several rows per block, so that the weights' gradients stay in registers,
// too: only one sum per block goes to memory. A second kernel adds the blocks' sums in double, in
// their order.
#include <algorithm>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/cuda/reduce.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/layer_norm.h"

namespace masformer::cuda {
namespace {

constexpr int kept_packs = 2;  // per thread, in registers
constexpr int max_threads = 512;

int threads_of_row(std::int64_t features, int n) {
  return threads_for(ceil_div(features, n * kept_packs), max_threads);
}

// Calls visit(pack, first column, whether the pack is kept) for each pack of this thread.
template <int n, class Visit>
__device__ void for_each_pack(int features, const Visit& visit) {
  const int step = static_cast<int>(blockDim.x) * n;
  int h = static_cast<int>(threadIdx.x) * n;
#pragma unroll
  for (int pack = 0; pack < kept_packs; ++pack, h += step) {
    if (h < features) visit(pack, h, std::true_type());
  }
  for (int pack = kept_packs; h < features; ++pack, h += step) visit(pack, h, std::false_type());
}

// This thread's part of a row. Empty if `row` is null.
template <int n, class T>
class RowPart {
 public:
  __device__ RowPart(const T* row, int features) : row_(row) {
    if (row == nullptr) return;
    for_each_pack<n>(features, [&](int pack, int h, auto is_kept) {
      if constexpr (is_kept.value) kept_[pack] = *reinterpret_cast<const Pack<T, n>*>(row + h);
    });
  }

  template <class IsKept>
  __device__ void get(int pack, int h, IsKept, float (&values)[n]) const {
    if constexpr (IsKept::value) {
      for (int i = 0; i < n; ++i) values[i] = static_cast<float>(kept_[pack].x[i]);
    } else {
      load(row_ + h, values);
    }
  }

 private:
  const T* row_;
  Pack<T, n> kept_[kept_packs];
};

template <class T>
struct NormForward {
  const T *x, *weight, *bias;
  T* y;
  float *mean, *rstd;
  int features;
  float epsilon;
};

template <int n, class T>
__global__ void __launch_bounds__(max_threads) normalize_row(NormForward<T> a) {
  const std::int64_t t = blockIdx.x;
  const RowPart<n, T> x(a.x + t * a.features, a.features);
  float sum = 0, squares = 0;
  for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
    float x_h[n];
    x.get(pack, h, is_kept, x_h);
    for (int i = 0; i < n; ++i) sum += x_h[i];
  });
  const float mean = over_block(sum) / static_cast<float>(a.features);
  for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
    float x_h[n];
    x.get(pack, h, is_kept, x_h);
    for (int i = 0; i < n; ++i) squares += (x_h[i] - mean) * (x_h[i] - mean);
  });
  const float variance = over_block(squares) / static_cast<float>(a.features);
  const float rstd = 1.0f / sqrtf(variance + a.epsilon);
  for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
    float x_h[n], weight[n], bias[n], y[n];
    x.get(pack, h, is_kept, x_h);
    load(a.weight + h, weight);
    load(a.bias + h, bias);
    for (int i = 0; i < n; ++i) y[i] = (x_h[i] - mean) * rstd * weight[i] + bias[i];
    store(y, a.y + t * a.features + h);
  });
  if (threadIdx.x != 0) return;
  a.mean[t] = mean;
  a.rstd[t] = rstd;
}

}  // namespace

void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd) {
  with_float_type(x.dtype(), [&]<class T>(T) {
    const NormForward<T> args{.x = x.data<T>(),
                              .weight = weight.data<T>(),
                              .bias = bias.data<T>(),
                              .y = y.data<T>(),
                              .mean = mean.data<float>(),
                              .rstd = rstd.data<float>(),
                              .features = static_cast<int>(x.dim(1)),
                              .epsilon = epsilon};
    with_pack<T>(packs(x) && packs(weight) && packs(bias) && packs(y), [&](auto n) {
      launch(stream, normalize_row<n.value, T>, {x.dim(0)}, threads_of_row(x.dim(1), n), args);
    });
  });
}

namespace {

template <class T>
struct NormBackward {
  const T *dy, *x, *weight;
  const float *mean, *rstd;
  const T* residual;
  T* dx;
  float* sums;  // [blocks, 2, features]: the sums of dy xhat and of dy over each block's tokens
  std::int64_t tokens;
  int features;
};

template <int n>
__device__ void add_to(float* sums, const float (&values)[n]) {
  float total[n];
  load(sums, total);
  for (int i = 0; i < n; ++i) total[i] += values[i];
  store(total, sums);
}

template <int n, class T>
__global__ void __launch_bounds__(max_threads)
    backward_rows(NormBackward<T> a, int tokens_of_block) {
  float dweight[kept_packs][n] = {}, dbias[kept_packs][n] = {};
  float* const dweight_sums = a.sums + std::int64_t{blockIdx.x} * 2 * a.features;
  float* const dbias_sums = dweight_sums + a.features;
  for_each_pack<n>(a.features, [&](int, int h, auto is_kept) {
    constexpr float zeros[n] = {};
    if constexpr (!is_kept.value) {
      store(zeros, dweight_sums + h);
      store(zeros, dbias_sums + h);
    }
  });
  const std::int64_t begin = std::int64_t{blockIdx.x} * tokens_of_block;
  const std::int64_t end = min(a.tokens, begin + tokens_of_block);
  for (std::int64_t t = begin; t < end; ++t) {
    const std::int64_t row = t * a.features;
    const RowPart<n, T> dy(a.dy + row, a.features), x(a.x + row, a.features);
    const RowPart<n, T> residual(a.residual == nullptr ? nullptr : a.residual + row, a.features);
    const float mean = a.mean[t], rstd = a.rstd[t];
    float means[2] = {};  // of g = dy weight and of g xhat
    for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
      float dy_h[n], x_h[n], weight[n];
      dy.get(pack, h, is_kept, dy_h);
      x.get(pack, h, is_kept, x_h);
      load(a.weight + h, weight);
      for (int i = 0; i < n; ++i) {
        const float g = dy_h[i] * weight[i];
        means[0] += g;
        means[1] += g * ((x_h[i] - mean) * rstd);
      }
    });
    over_block(means);
    for (float& sum : means) sum /= static_cast<float>(a.features);
    for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
      float dy_h[n], x_h[n], weight[n], dx[n] = {}, dy_xhat[n];
      dy.get(pack, h, is_kept, dy_h);
      x.get(pack, h, is_kept, x_h);
      load(a.weight + h, weight);
      if (a.residual != nullptr) residual.get(pack, h, is_kept, dx);
      for (int i = 0; i < n; ++i) {
        const float xhat = (x_h[i] - mean) * rstd;
        dx[i] += rstd * (dy_h[i] * weight[i] - means[0] - xhat * means[1]);
        dy_xhat[i] = dy_h[i] * xhat;
      }
      store(dx, a.dx + row + h);
      if constexpr (is_kept.value) {
        for (int i = 0; i < n; ++i) dweight[pack][i] += dy_xhat[i];
        for (int i = 0; i < n; ++i) dbias[pack][i] += dy_h[i];
      } else {
        add_to(dweight_sums + h, dy_xhat);
        add_to(dbias_sums + h, dy_h);
      }
    });
  }
  for_each_pack<n>(a.features, [&](int pack, int h, auto is_kept) {
    if constexpr (is_kept.value) {
      store(dweight[pack], dweight_sums + h);
      store(dbias[pack], dbias_sums + h);
    }
  });
}

constexpr int sum_parts = 8;  // warps per block; each adds an equal share of the blocks' sums

// dweight, dbias [features] += sums [blocks, 2, features], in double.
__global__ void __launch_bounds__(sum_parts* warp_size, 4)
    add_sums(const float* sums, int sum_blocks, int features, float* dweight, float* dbias) {
  __shared__ double totals[sum_parts][warp_size];
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int part = static_cast<int>(threadIdx.x) / warp_size;
  const int column = static_cast<int>(blockIdx.x) * warp_size + lane;
  const bool is_column = column < 2 * features;
  double total = 0;
  if (is_column) {
#pragma unroll 8
    for (int block = part; block < sum_blocks; block += sum_parts) {
      total += double(sums[std::int64_t{block} * 2 * features + column]);
    }
  }
  totals[part][lane] = total;
  __syncthreads();
  if (part != 0 || !is_column) return;
  for (int other = 1; other < sum_parts; ++other) total += totals[other][lane];
  float* const gradient = column < features ? dweight + column : dbias + (column - features);
  *gradient += static_cast<float>(total);
}

}  // namespace

void layer_norm_backward(const Stream& stream, const LayerNormBackward& args) {
  const std::int64_t tokens = args.x.dim(0), features = args.x.dim(1);
  const std::int64_t tokens_of_block = cuda_workspace::rows_of_norm_sum(tokens);
  const std::int64_t sum_blocks = ceil_div(tokens, tokens_of_block);
  auto* const sums = static_cast<float*>(
      cuda_stream_of(stream).scratch(cuda_workspace::layer_norm_backward(tokens, features)));
  with_float_type(args.x.dtype(), [&]<class T>(T) {
    const NormBackward<T> a{.dy = args.dy.data<T>(),
                            .x = args.x.data<T>(),
                            .weight = args.weight.data<T>(),
                            .mean = args.mean.data<float>(),
                            .rstd = args.rstd.data<float>(),
                            .residual = args.residual ? args.residual.data<T>() : nullptr,
                            .dx = args.dx.data<T>(),
                            .sums = sums,
                            .tokens = tokens,
                            .features = static_cast<int>(features)};
    const bool all_pack = packs(args.dy) && packs(args.x) && packs(args.weight) &&
                          packs(args.residual) && packs(args.dx);
    with_pack<T>(all_pack, [&](auto n) {
      launch(stream, backward_rows<n.value, T>, {sum_blocks}, threads_of_row(features, n), a,
             tokens_of_block);
    });
  });
  launch(stream, add_sums, {ceil_div(2 * features, warp_size)}, sum_parts * warp_size, sums,
         sum_blocks, features, args.dweight.data<float>(), args.dbias.data<float>());
}

}  // namespace masformer::cuda
