// Blocks of threads that take whole rows: a long row has a block to itself, short rows share one,
// so that no thread idles however short they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cuda_runtime.h>

#include "runtime/rounding.h"

namespace masformer::cuda {

struct RowBlocks {
  static constexpr int max_threads = 256;

  // For rows of `width` elements, of which a thread moves `n` at once.
  RowBlocks(std::int64_t width, int n)
      : threads_per_row(
            static_cast<int>(std::clamp<std::int64_t>(ceil_div(width, n), 1, max_threads))),
        rows(max_threads / threads_per_row) {}

  int threads() const { return threads_per_row * rows; }
  // How many blocks take `count` rows.
  std::int64_t blocks(std::int64_t count) const { return ceil_div(count, rows); }

  // Which of the rows of all blocks along x this thread works on, and which thread of that row it
  // is. The row may be past the last.
  __device__ std::int64_t row() const {
    return std::int64_t{blockIdx.x} * rows + static_cast<int>(threadIdx.x) / threads_per_row;
  }
  __device__ int thread() const { return static_cast<int>(threadIdx.x) % threads_per_row; }

  int threads_per_row;
  int rows;  // per block
};

}  // namespace masformer::cuda
