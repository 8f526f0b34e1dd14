// Sums and maxima over the threads of a warp and of a block, in an order that depends on the size
// of the block alone. All threads take part, and all get the result.
#pragma once

#include <cuda_runtime.h>

namespace masformer::cuda {

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xffffffffu;

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

template <class T, class Combine = Add>
__device__ T over_warp(T value, Combine combine = {}) {
  for (int apart = warp_size / 2; apart > 0; apart /= 2) {
    value = combine(value, __shfl_xor_sync(all_lanes, value, apart));
  }
  return value;
}

// `threads`: of the block, a multiple of 32 and at most 1024. May be called again at once.
template <int threads, class T, class Combine = Add>
__device__ T over_block(T value, Combine combine = {}) {
  constexpr int warps = threads / warp_size;
  __shared__ T of_warp[warps];
  const int thread = static_cast<int>(threadIdx.x);
  value = over_warp(value, combine);
  __syncthreads();  // the last call's results have been read
  if (thread % warp_size == 0) of_warp[thread / warp_size] = value;
  __syncthreads();
  T total = of_warp[0];
  for (int warp = 1; warp < warps; ++warp) total = combine(total, of_warp[warp]);
  return total;
}

}  // namespace masformer::cuda
