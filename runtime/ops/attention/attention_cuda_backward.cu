// Attention backward on a CUDA device, for all cases that cuDNN does not take. Three kernels share
// only `delta`: the first computes it; the second has a block for each tile of keys, which goes
// through the queries that see them, and computes dk and dv; the third has a block for each tile of
// queries, which goes through the keys that they see, and computes dq. Scores are computed twice,
// so that blocks share no sums: there are no atomics, and the bits are the same every time.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/reduce.h"
#include "runtime/ops/attention/attention_cuda.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/ops/backend_cuda.h"

namespace masformer::cuda {
namespace {

constexpr int delta_threads = 256;
constexpr int delta_rows = delta_threads / warp_size;

template <class T>
struct Backward {
  Problem problem;
  Heads<const T> q, k, v, out, dout;
  QueryValues lse, delta;
  GradientHeads dq, dk, dv;
};

// One warp per query.
template <class T>
__global__ void __launch_bounds__(delta_threads) find_delta(Backward<T> args) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int query =
      static_cast<int>(blockIdx.x) * delta_rows + static_cast<int>(threadIdx.x) / warp_size;
  const int head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  if (query >= args.problem.queries) return;
  const T* const out = args.out.row(batch, head, query);
  const T* const dout = args.dout.row(batch, head, query);
  float sum = 0;
  for (int d = lane; d < args.problem.dim; d += warp_size) {
    sum += static_cast<float>(out[d]) * static_cast<float>(dout[d]);
  }
  sum = over_warp(sum);
  if (lane == 0) args.delta.of(batch, head)[query] = sum;
}

// The statistics and masks of a tile's queries.
struct QueryTile {
  SeenKeys seen;
  float lse[tile_size];  // to base 2
  float delta[tile_size];
  bool one_key[tile_size];  // see IndexMask

  // One thread per query. Requires a __syncthreads() before others read.
  template <class T>
  __device__ void load(const Backward<T>& args, int batch, int head, int begin) {
    const IndexMask mask = args.problem.masks[batch];
    seen.find(mask, begin, args.problem.queries);
    const int row = static_cast<int>(threadIdx.x);
    if (row >= min(tile_size, args.problem.queries - begin)) return;
    lse[row] = args.lse.of(batch, head)[begin + row] * log2_e;
    delta[row] = args.delta.of(batch, head)[begin + row];
    one_key[row] = mask.one_key(begin + row);
  }

  // In place, for one pair of a query and a key: the score becomes p = 2^(score - lse), dp becomes
  // ds / scale = p (dp - delta).
  __device__ void softmax(const Problem& problem, int row, int key, float& score, float& dp) const {
    const bool is_seen = seen.has(row, key);
    score = is_seen ? exp2f(score * (problem.scale * log2_e) - lse[row]) : 0;
    dp = is_seen && !one_key[row] ? score * (dp - delta[row]) : 0;
  }
};

template <class T>
__global__ void __launch_bounds__(tile_threads) find_dk_dv(Backward<T> args) {
  __shared__ Tile left, right;
  __shared__ QueryTile tile;
  const Problem& problem = args.problem;
  const int kv_head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  const int key = static_cast<int>(blockIdx.x) * tile_size;
  const int key_end = min(key + tile_size, problem.keys);
  const PositionRange queries = problem.masks[batch].queries_of(key, key_end);
  Piece dk[max_chunks] = {}, dv[max_chunks] = {};
  for (int head = kv_head * problem.group; head < (kv_head + 1) * problem.group; ++head) {
    for (int begin = static_cast<int>(queries.begin); begin < queries.end; begin += tile_size) {
      const int end = min(begin + tile_size, static_cast<int>(queries.end));
      Piece p = {}, ds = {};  // rows are keys, columns queries
      tile.load(args, batch, head, begin);
      for (int chunk = 0; chunk < problem.chunks; ++chunk) {
        add_scores(args.k.part(batch, kv_head, key, key_end, chunk),
                   args.q.part(batch, head, begin, end, chunk), left, right, p);
        add_scores(args.v.part(batch, kv_head, key, key_end, chunk),
                   args.dout.part(batch, head, begin, end, chunk), left, right, ds);
      }
#pragma unroll
      for (int i = 0; i < piece_size; ++i) {
#pragma unroll
        for (int j = 0; j < piece_size; ++j) {
          tile.softmax(problem, tile_column() + piece_step * j, key + tile_row() + piece_step * i,
                       p.x[i][j], ds.x[i][j]);
        }
      }
      __syncthreads();
      keep(p, left);
      for (int chunk = 0; chunk < problem.chunks; ++chunk) {
        add_product(left, args.dout.part(batch, head, begin, end, chunk), right, dv[chunk]);
      }
      __syncthreads();
      keep(ds, left);
      for (int chunk = 0; chunk < problem.chunks; ++chunk) {
        add_product(left, args.q.part(batch, head, begin, end, chunk), right, dk[chunk]);
      }
    }
  }
  for (int chunk = 0; chunk < problem.chunks; ++chunk) {
    args.dk.with_type([&](auto to) {
      write(dk[chunk], problem.scale, to.part(batch, kv_head, key, key_end, chunk));
    });
    args.dv.with_type(
        [&](auto to) { write(dv[chunk], 1, to.part(batch, kv_head, key, key_end, chunk)); });
  }
}

template <class T>
__global__ void __launch_bounds__(tile_threads) find_dq(Backward<T> args) {
  __shared__ Tile left, right;
  __shared__ QueryTile tile;
  const Problem& problem = args.problem;
  const int head = static_cast<int>(blockIdx.y), batch = static_cast<int>(blockIdx.z);
  const int kv_head = head / problem.group;
  // The last queries see the most keys, so they start first.
  const int begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * tile_size;
  const int end = min(begin + tile_size, problem.queries);
  const PositionRange keys = problem.masks[batch].keys_of(begin, end);
  tile.load(args, batch, head, begin);
  Piece dq[max_chunks] = {};
  for (int key = static_cast<int>(keys.begin); key < keys.end; key += tile_size) {
    const int key_end = min(key + tile_size, static_cast<int>(keys.end));
    Piece p = {}, ds = {};  // rows are queries, columns keys
    for (int chunk = 0; chunk < problem.chunks; ++chunk) {
      add_scores(args.q.part(batch, head, begin, end, chunk),
                 args.k.part(batch, kv_head, key, key_end, chunk), left, right, p);
      add_scores(args.dout.part(batch, head, begin, end, chunk),
                 args.v.part(batch, kv_head, key, key_end, chunk), left, right, ds);
    }
#pragma unroll
    for (int i = 0; i < piece_size; ++i) {
#pragma unroll
      for (int j = 0; j < piece_size; ++j) {
        tile.softmax(problem, tile_row() + piece_step * i, key + tile_column() + piece_step * j,
                     p.x[i][j], ds.x[i][j]);
      }
    }
    __syncthreads();
    keep(ds, left);
    for (int chunk = 0; chunk < problem.chunks; ++chunk) {
      add_product(left, args.k.part(batch, kv_head, key, key_end, chunk), right, dq[chunk]);
    }
  }
  for (int chunk = 0; chunk < problem.chunks; ++chunk) {
    args.dq.with_type(
        [&](auto to) { write(dq[chunk], problem.scale, to.part(batch, head, begin, end, chunk)); });
  }
}

}  // namespace

void attention_backward(const Stream& stream, const AttentionBackward& args) {
  if (cudnn_attention_backward(stream, args)) return;
  const std::int64_t batches = args.q.dim(0), queries = args.q.dim(1), heads = args.q.dim(2);
  with_float_type(args.q.dtype(), [&]<class T>(T) {
    const Backward<T> with{
        problem_of(args),           heads_of<const T>(args.q),   heads_of<const T>(args.k),
        heads_of<const T>(args.v),  heads_of<const T>(args.out), heads_of<const T>(args.dout),
        query_values(args.lse),     query_values(args.delta),    gradient_heads_of(args.dq),
        gradient_heads_of(args.dk), gradient_heads_of(args.dv)};
    launch(stream, find_delta<T>, {ceil_div(queries, delta_rows), heads, batches}, delta_threads,
           with);
    launch(stream, find_dk_dv<T>, {ceil_div(args.k.dim(1), tile_size), args.k.dim(2), batches},
           tile_threads, with);
    launch(stream, find_dq<T>, {ceil_div(queries, tile_size), heads, batches}, tile_threads, with);
  });
}

}  // namespace masformer::cuda
