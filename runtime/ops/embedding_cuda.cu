// The embedding on a CUDA device. The forward copies rows. The backward must add all tokens of one
// id to the same row. Atomics would add them in any order; instead, tokens are sorted by id, and
// one block adds the tokens of a row in their order, which gives the CPU's bits.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/embedding.h"

namespace masformer::cuda {
namespace {

// Rows [first, first + rows) of a table.
struct Shard {
  std::int64_t first, rows;
  int features;

  // Where the row of `id` begins; -1 if it is not in the shard.
  __device__ std::int64_t offset_of(std::int32_t id) const {
    const std::int64_t row = id - first;
    return row < 0 || row >= rows ? -1 : row * features;
  }
};

// One block per token.
template <int n, class T>
__global__ void pick_row(const std::int32_t* ids, const T* table, Shard shard, bool accumulate,
                         T* y) {
  const std::int64_t row = shard.offset_of(ids[blockIdx.x]);
  if (row < 0 && accumulate) return;
  T* const y_t = y + std::int64_t{blockIdx.x} * shard.features;
  for (int h = static_cast<int>(threadIdx.x) * n; h < shard.features; h += blockDim.x * n) {
    float picked[n] = {}, before[n] = {};
    if (row >= 0) load(table + row + h, picked);
    if (accumulate) load(y_t + h, before);
#pragma unroll
    for (int i = 0; i < n; ++i) picked[i] += before[i];
    store(picked, y_t + h);
  }
}

}  // namespace

void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y) {
  const Shard shard{first, table.dim(0), static_cast<int>(table.dim(1))};
  with_float_type(y.dtype(), [&]<class T>(T) {
    with_pack<T>(packs(table) && packs(y), [&](auto n) {
      launch(stream, pick_row<n.value, T>, {ids.dim(0)}, threads_for(ceil_div(shard.features, n)),
             ids.data<std::int32_t>(), table.data<T>(), shard, accumulate, y.data<T>());
    });
  });
}

namespace {

// The tokens sorted by id, and those of one id by position, so that all tokens that add to one row
// of the table are neighbours: `token` and `id` [count].
struct SortedTokens {
  int count;
  std::int32_t* token;
  std::int32_t* id;
};

constexpr int sort_parts = 16;      // warps per block; each compares with an equal share of the ids
constexpr int tokens_a_thread = 4;  // comparisons for each id that is read

// Each token's place is the number of tokens before it. This needs T^2 comparisons, but no passes
// over buckets. Up to some 30,000 tokens it takes less time than the gradient's memory traffic.
__global__ void sort_tokens(const std::int32_t* ids, SortedTokens sorted) {
  __shared__ int before[sort_parts][tokens_a_thread][warp_size];
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const int part = static_cast<int>(threadIdx.x) / warp_size;
  const int first = static_cast<int>(blockIdx.x) * tokens_a_thread * warp_size;
  const int last = min(sorted.count, first + tokens_a_thread * warp_size);
  std::int32_t token[tokens_a_thread], id[tokens_a_thread];
  int rank[tokens_a_thread] = {};
#pragma unroll
  for (int i = 0; i < tokens_a_thread; ++i) {
    token[i] = min(first + i * warp_size + lane, sorted.count - 1);
    id[i] = ids[token[i]];
  }
  const int share = ceil_div(sorted.count, sort_parts);
  const int begin = part * share, end = min(sorted.count, begin + share);
  const auto count = [&](int from, int to, auto is_before) {
    for (int other = max(from, begin); other < min(to, end); ++other) {
      const std::int32_t other_id = ids[other];
#pragma unroll
      for (int i = 0; i < tokens_a_thread; ++i) {
        rank[i] += is_before(other_id, id[i], other < token[i]) ? 1 : 0;
      }
    }
  };
  count(0, first, [](auto a, auto b, bool) { return a <= b; });
  count(first, last, [](auto a, auto b, bool earlier) { return a < b || (a == b && earlier); });
  count(last, sorted.count, [](auto a, auto b, bool) { return a < b; });
#pragma unroll
  for (int i = 0; i < tokens_a_thread; ++i) before[part][i][lane] = rank[i];
  __syncthreads();
  if (part >= tokens_a_thread || first + part * warp_size + lane >= sorted.count) return;
  int place = 0;
  for (int p = 0; p < sort_parts; ++p) place += before[p][part][lane];
  const int own = first + part * warp_size + lane;
  sorted.token[place] = own;
  sorted.id[place] = ids[own];
}

constexpr int gather_threads = 128;
constexpr int gather_batch = 8;  // rows that are loaded at once

// dtable[row] += dy of the tokens with its id, in their order. There is a block for each sorted
// token and slice of the columns; only the blocks at the first token of an id have work.
template <int n, class T>
__global__ void __launch_bounds__(gather_threads, 8)
    add_to_row(SortedTokens sorted, const T* dy, Shard shard, float* dtable) {
  __shared__ std::int32_t tokens[gather_threads];
  __shared__ int found;
  const int first = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const std::int32_t id = sorted.id[first];
  const std::int64_t row = shard.offset_of(id);
  if (row < 0 || (first > 0 && sorted.id[first - 1] == id)) return;
  const int h = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * n;
  const bool has_columns = h < shard.features;
  const auto is_same = [&](int place) { return place < sorted.count && sorted.id[place] == id; };
  float sum[n] = {};
  if (has_columns) load(dtable + row + h, sum);
  for (int place = first + thread;; place += blockDim.x) {
    const bool same = is_same(place);
    __syncthreads();  // the last tokens have been added
    if (same) tokens[thread] = sorted.token[place];
    if (same && (thread + 1 == blockDim.x || !is_same(place + 1))) found = thread + 1;
    if (!same && thread == 0) found = 0;
    __syncthreads();
    for (int i = 0; has_columns && i < found; i += gather_batch) {
      float added[gather_batch][n];
#pragma unroll
      for (int j = 0; j < gather_batch; ++j) {
        const std::int64_t token = tokens[min(i + j, found - 1)];
        load(dy + token * shard.features + h, added[j]);
      }
#pragma unroll
      for (int j = 0; j < gather_batch; ++j) {
        for (int k = 0; k < n; ++k) sum[k] += i + j < found ? added[j][k] : 0.0f;
      }
    }
    if (found < blockDim.x) break;
  }
  if (has_columns) store(sum, dtable + row + h);
}

}  // namespace

void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable) {
  const std::int64_t count = ids.dim(0);
  const Shard shard{first, dtable.dim(0), static_cast<int>(dtable.dim(1))};
  auto* const places = static_cast<std::int32_t*>(
      cuda_stream_of(stream).scratch(cuda_workspace::embedding_backward(count)));
  const SortedTokens sorted{static_cast<int>(count), places, places + count};
  launch(stream, sort_tokens, {ceil_div(count, tokens_a_thread * warp_size)},
         sort_parts * warp_size, ids.data<std::int32_t>(), sorted);
  with_float_type(dy.dtype(), [&]<class T>(T) {
    with_pack<T>(packs(dy) && packs(dtable), [&](auto n) {
      const int threads = threads_for(ceil_div(shard.features, n), gather_threads);
      launch(stream, add_to_row<n.value, T>, {count, ceil_div(shard.features, threads * n)},
             threads, sorted, dy.data<T>(), shard, dtable.data<float>());
    });
  });
}

}  // namespace masformer::cuda
