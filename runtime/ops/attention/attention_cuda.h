// The common part of the CUDA attention's own kernels: how they address their operands, and the
// mask of a tile's queries. They take every case of the contract, in fp32 arithmetic;
// attention_cudnn.h takes the cases that train.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>
#include <limits>
#include <type_traits>

#include "runtime/error.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/attention/attention_cuda_tile.h"
#include "runtime/ops/attention/attention_mask.h"
#include "runtime/rounding.h"
#include "runtime/tensor.h"

namespace masformer::cuda {

constexpr float infinity = std::numeric_limits<float>::infinity();
// Powers are of 2, for which the device has an instruction.
constexpr float log2_e = 1.44269504088896340736f;
constexpr float ln_2 = 0.69314718055994530942f;

// The most tiles that a head's columns take. A kernel keeps a sum for each of them; the sums that
// it is not working on are in the thread's local memory, which is a twentieth of what it reads.
constexpr int max_chunks = 4;

// x [B, tokens, heads, D].
template <class T>
struct Heads {
  T* first;
  std::int64_t batch_stride, token_stride, head_stride;
  int dim;
  bool packs;

  __device__ T* row(int batch, int head, int token) const {
    return first + batch * batch_stride + token * token_stride + head * head_stride;
  }
  // The tokens [begin, end) of one head, at most a tile of them, and the columns of `chunk`.
  __device__ Part<T> part(int batch, int head, int begin, int end, int chunk) const {
    const int column = chunk * tile_size;
    return {row(batch, head, begin) + column, token_stride, end - begin,
            min(dim - column, tile_size), packs};
  }
};

template <class T>
Heads<T> heads_of(const Tensor& x) {
  return {x.data<std::remove_const_t<T>>(), x.stride(0), x.stride(1), x.stride(2),
          static_cast<int>(x.dim(3)),       packs(x)};
}

// A gradient [B, tokens, heads, D], which is bf16 or fp32 whatever the dtype of q is.
struct GradientHeads {
  Heads<void> untyped;
  bool is_bf16;

  // Calls work(heads) with Heads<float> or Heads<bfloat16>.
  template <class Work>
  __device__ void with_type(const Work& work) const {
    if (is_bf16) return work(as<bfloat16>());
    work(as<float>());
  }

 private:
  template <class T>
  __device__ Heads<T> as() const {
    return {static_cast<T*>(untyped.first),
            untyped.batch_stride,
            untyped.token_stride,
            untyped.head_stride,
            untyped.dim,
            untyped.packs};
  }
};

inline GradientHeads gradient_heads_of(const Tensor& x) {
  return {{x.raw(), x.stride(0), x.stride(1), x.stride(2), static_cast<int>(x.dim(3)), packs(x)},
          x.dtype() == DType::bf16};
}

// x [B, N, S], one number per query.
struct QueryValues {
  float* first;
  std::int64_t batch_stride, head_stride;

  __device__ float* of(int batch, int head) const {
    return first + batch * batch_stride + head * head_stride;
  }
};

inline QueryValues query_values(const Tensor& x) {
  return {x.data<float>(), x.stride(0), x.stride(1)};
}

// The sizes of one call.
struct Problem {
  BatchMask masks;
  int queries, keys;
  int group;  // query heads per key/value head
  int dim, chunks;
  float scale;
};

// From the arguments of the forward or the backward. Throws Error for heads that are too wide.
template <class Arguments>
Problem problem_of(const Arguments& args) {
  const std::int64_t dim = args.q.dim(3), chunks = ceil_div(dim, tile_size);
  require(chunks <= max_chunks, "attention on a CUDA device: head dim {} is above {}", dim,
          max_chunks * tile_size);
  return {BatchMask(args.mask, args.q.dim(1), args.k.dim(1)),
          static_cast<int>(args.q.dim(1)),
          static_cast<int>(args.k.dim(1)),
          static_cast<int>(args.q.dim(2) / args.k.dim(2)),
          static_cast<int>(dim),
          static_cast<int>(chunks),
          args.scale};
}

// The keys [first, end) that each query of a tile sees; empty beyond the last query.
struct SeenKeys {
  int first[tile_size], end[tile_size];

  // One thread per query. Requires a __syncthreads() before has().
  __device__ void find(const IndexMask& mask, int begin, int queries) {
    const int row = static_cast<int>(threadIdx.x);
    if (row >= tile_size) return;
    PositionRange keys;
    if (begin + row < queries) keys = mask.keys_of(begin + row);
    first[row] = static_cast<int>(keys.begin);
    end[row] = static_cast<int>(keys.end);
  }
  __device__ bool has(int row, int key) const { return first[row] <= key && key < end[row]; }
};

// piece += a b^T for two parts of equal width, which are copied to the tiles `left` and `right`.
template <class T>
__device__ void add_scores(const Part<T>& a, const Part<T>& b, Tile& left, Tile& right,
                           Piece& piece) {
  __syncthreads();  // the old contents have been read
  read(a, left);
  read(b, right);
  __syncthreads();
  add_scores(left, right, round_up(a.columns, 4), piece);
}

// piece += a b for a tile `a` that all threads have just written, and a part that is copied to
// `right`.
template <class T>
__device__ void add_product(const Tile& a, const Part<T>& b, Tile& right, Piece& piece) {
  __syncthreads();
  read(b, right);
  __syncthreads();
  add_product(a, right, round_up(b.rows, 4), piece);
}

}  // namespace masformer::cuda
