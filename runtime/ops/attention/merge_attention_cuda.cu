// The merge of two partial attentions on a CUDA device. Memory limits it: a thread moves 16 bytes
// of the narrower type at once where all rows allow it. A block takes neighbouring queries of one
// head, so that it reads neighbouring lse; each thread computes the weights of its row itself.
#include <limits>
#include <type_traits>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/cuda/row_blocks.h"
#include "runtime/ops/attention/merge_attention.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

// x [B, S, N, D].
template <class T>
struct HeadRows {
  T* data;
  std::int64_t batch_stride, query_stride, head_stride;

  __device__ T* row(std::int64_t query) const {
    return data + blockIdx.z * batch_stride + query * query_stride + blockIdx.y * head_stride;
  }
};

template <class T>
HeadRows<T> head_rows(const Tensor& x) {
  return {x.data<std::remove_const_t<T>>(), x.stride(0), x.stride(1), x.stride(2)};
}

// x [B, N, S].
struct Lse {
  float* data;
  std::int64_t batch_stride, head_stride;

  __device__ float* of(std::int64_t query) const {
    return data + blockIdx.z * batch_stride + blockIdx.y * head_stride + query;
  }
};

Lse lse_of(const Tensor& x) {
  return {x.data<float>(), x.stride(0), x.stride(1)};
}

template <class Out, class Other>
struct Merge {
  std::int64_t queries, dim;
  HeadRows<Out> out;
  HeadRows<const Other> other_out;
  Lse lse, other_lse;
};

// The merged lse, and what the two sides are multiplied with.
struct Weights {
  float own, other, lse;
};

__device__ inline Weights weights_of(float own_lse, float other_lse) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float max = own_lse > other_lse ? own_lse : other_lse;  // NaN if other_lse is
  // If neither side saw a key, any finite base makes both weights 0.
  const float base = max == -infinity ? 0 : max;
  const float own = expf(own_lse - base), other = expf(other_lse - base);
  const float sum = own + other;
  const float factor = sum == 0 ? 0 : 1 / sum;
  return {own * factor, other * factor, base + logf(sum)};
}

// weight x, and 0 for a weight of 0, whatever x is.
__device__ inline float weighted(float weight, float x) {
  return weight == 0 ? 0 : weight * x;
}

template <int n, class Out, class Other>
__global__ void merge_rows(RowBlocks blocks, Merge<Out, Other> args) {
  const std::int64_t query = blocks.row();
  const bool has_row = query < args.queries;
  Weights weights{};
  if (has_row) weights = weights_of(*args.lse.of(query), *args.other_lse.of(query));
  __syncthreads();  // all threads of a row have read its lse
  if (!has_row) return;
  if (blocks.thread() == 0) *args.lse.of(query) = weights.lse;
  Out* const out = args.out.row(query);
  const Other* const other = args.other_out.row(query);
  for (std::int64_t d = blocks.thread() * n; d < args.dim; d += blocks.threads_per_row * n) {
    float x[n], y[n];
    load(out + d, x);
    load(other + d, y);
#pragma unroll
    for (int i = 0; i < n; ++i) x[i] = weighted(weights.own, x[i]) + weighted(weights.other, y[i]);
    store(x, out + d);
  }
}

}  // namespace

void merge_attention(const Stream& stream, const AttentionMerge& args) {
  const Tensor &out = args.out, &other = args.other_out;
  with_float_type(out.dtype(), [&]<class Out>(Out) {
    with_float_type(other.dtype(), [&]<class Other>(Other) {
      using Narrower = std::conditional_t<(sizeof(Out) < sizeof(Other)), Out, Other>;
      with_pack<Narrower>(packs(out) && packs(other), [&](auto n) {
        const RowBlocks blocks(out.dim(3), n);
        launch(stream, merge_rows<n.value, Out, Other>,
               {blocks.blocks(out.dim(1)), out.dim(2), out.dim(0)}, blocks.threads(), blocks,
               Merge<Out, Other>{out.dim(1), out.dim(3), head_rows<Out>(out),
                                 head_rows<const Other>(other), lse_of(args.lse),
                                 lse_of(args.other_lse)});
      });
    });
  });
}

}  // namespace masformer::cuda
