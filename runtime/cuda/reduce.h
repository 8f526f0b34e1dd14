// Sums and maxima over the threads of a warp and of a block. The order depends only on the size of
// the block. All threads must take part, and all get the result.
#pragma once

#include <cuda_runtime.h>

#include "runtime/cuda/launch.h"

namespace masformer::cuda {

constexpr unsigned all_lanes = 0xffffffffu;

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// For a number and a NaN, the number.
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return max(a, b);
  }
};

template <class T, class Combine = Add>
__device__ T over_warp(T value, Combine combine = {}) {
#pragma unroll
  for (int apart = warp_size / 2; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(all_lanes, value, apart));
  }
  return value;
}

// Reduces several values at once. Blocks must be whole warps. May be called again without a barrier
// in between.
template <class T, int count, class Combine = Add>
__device__ void over_block(T (&values)[count], Combine combine = {}) {
  constexpr int max_warps = 32;
  __shared__ T of_warp[count][max_warps];
  const int thread = static_cast<int>(threadIdx.x);
  const int warps = static_cast<int>(blockDim.x) / warp_size;
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = over_warp(values[i], combine);
  if (warps == 1) return;
  __syncthreads();  // the results of the last call have been read
  if (thread % warp_size == 0) {
    for (int i = 0; i < count; ++i) of_warp[i][thread / warp_size] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < count; ++i) {
    values[i] = of_warp[i][0];
#pragma unroll 4
    for (int warp = 1; warp < warps; ++warp) values[i] = combine(values[i], of_warp[i][warp]);
  }
}

template <class T, class Combine = Add>
__device__ T over_block(T value, Combine combine = {}) {
  T values[1] = {value};
  over_block(values, combine);
  return values[0];
}

}  // namespace masformer::cuda
