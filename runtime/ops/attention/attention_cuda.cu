// Attention forward on a CUDA device, for all cases that cuDNN does not take (attention_cudnn.h):
// fp32, other head dims, spans, offsets and documents. It computes in fp32 without tensor cores, so
// it is many times slower than cuDNN in bf16; it is kept simple.
//
// A block takes a tile of queries of one head through the tiles of keys that they see: it computes
// the scores and their online softmax, and adds the weighted values to `out`.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/reduce.h"
#include "runtime/ops/attention/attention_cuda.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

template <class T>
struct Forward {
  Problem problem;
  Heads<const T> q, k, v;
  Heads<T> out;
  QueryValues lse;
};

// Reduces over the 16 neighbouring threads that hold a row.
template <class Combine>
__device__ float over_row(float value, Combine combine) {
#pragma unroll
  for (int apart = piece_step / 2; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(all_lanes, value, apart));
  }
  return value;
}

// A thread's part of the softmax of its 4 rows.
struct Softmax {
  float max[piece_size];  // of the row's scores so far; -infinity if it saw no key
  float sum[piece_size];  // of 2^(score - max), over this thread's columns
};

// Turns q.k for the keys from `key` on into 2^(score - max), and 0 for keys that are not seen. Sets
// `factor` to what earlier sums must be multiplied with.
__device__ inline void softmax_keys(const SeenKeys& seen, int key, float scale, Piece& scores,
                                    Softmax& softmax, float (&factor)[piece_size]) {
#pragma unroll
  for (int i = 0; i < piece_size; ++i) {
    const int row = tile_row() + piece_step * i;
    float max = softmax.max[i];
#pragma unroll
    for (int j = 0; j < piece_size; ++j) {
      const bool is_seen = seen.has(row, key + tile_column() + piece_step * j);
      scores.x[i][j] = is_seen ? scores.x[i][j] * scale : -infinity;
      max = fmaxf(max, scores.x[i][j]);
    }
    max = over_row(max, Larger());
    const float base = max == -infinity ? 0 : max;
    factor[i] = exp2f(softmax.max[i] - base);
    softmax.max[i] = max;
    softmax.sum[i] *= factor[i];
#pragma unroll
    for (int j = 0; j < piece_size; ++j) {
      scores.x[i][j] = exp2f(scores.x[i][j] - base);
      softmax.sum[i] += scores.x[i][j];
    }
  }
}

template <class T>
__global__ void __launch_bounds__(tile_threads) forward(Forward<T> args) {
  __shared__ Tile left, right;
  __shared__ SeenKeys seen;
  const Problem& problem = args.problem;
  const int head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  const int kv_head = head / problem.group;
  // The last queries see the most keys, so they start first.
  const int begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * tile_size;
  const int end = min(begin + tile_size, problem.queries);
  const IndexMask mask = problem.masks[batch];
  const PositionRange keys = mask.keys_of(begin, end);
  seen.find(mask, begin, problem.queries);

  Piece out[max_chunks] = {};
  Softmax softmax;
  for (int i = 0; i < piece_size; ++i) {
    softmax.max[i] = -infinity;
    softmax.sum[i] = 0;
  }
  for (int key = static_cast<int>(keys.begin); key < keys.end; key += tile_size) {
    const int key_end = min(key + tile_size, static_cast<int>(keys.end));
    Piece scores = {};
    for (int chunk = 0; chunk < problem.chunks; ++chunk) {
      add_scores(args.q.part(batch, head, begin, end, chunk),
                 args.k.part(batch, kv_head, key, key_end, chunk), left, right, scores);
    }
    float factor[piece_size];
    softmax_keys(seen, key, problem.scale * log2_e, scores, softmax, factor);
    __syncthreads();
    keep(scores, left);
    for (int chunk = 0; chunk < problem.chunks; ++chunk) {
      multiply_rows(factor, out[chunk]);
      add_product(left, args.v.part(batch, kv_head, key, key_end, chunk), right, out[chunk]);
    }
  }

  float one_over_sum[piece_size];
  float* const lse = args.lse.of(batch, head);
  for (int i = 0; i < piece_size; ++i) {
    const float sum = over_row(softmax.sum[i], Add());
    one_over_sum[i] = sum > 0 ? 1 / sum : 0;
    const int query = begin + tile_row() + piece_step * i;
    if (query < end && tile_column() == 0) lse[query] = (softmax.max[i] + log2f(sum)) * ln_2;
  }
  for (int chunk = 0; chunk < problem.chunks; ++chunk) {
    multiply_rows(one_over_sum, out[chunk]);
    write(out[chunk], 1, args.out.part(batch, head, begin, end, chunk));
  }
}

}  // namespace

void attention(const Stream& stream, const AttentionForward& args) {
  if (cudnn_attention(stream, args)) return;
  with_float_type(args.q.dtype(), [&]<class T>(T) {
    launch(stream, forward<T>, {ceil_div(args.q.dim(1), tile_size), args.q.dim(2), args.q.dim(0)},
           tile_threads,
           Forward<T>{problem_of(args), heads_of<const T>(args.q), heads_of<const T>(args.k),
                      heads_of<const T>(args.v), heads_of<T>(args.out), query_values(args.lse)});
  });
}

}  // namespace masformer::cuda
