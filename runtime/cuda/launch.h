// Starts a kernel. It is a function, in place of <<<>>>, so that any C++ compiler can read the
// sources.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cuda_runtime.h>
#include <utility>

#include "runtime/cuda/error.h"
#include "runtime/cuda/stream.h"
#include "runtime/rounding.h"

namespace masformer::cuda {

// A kernel runs on `grid` blocks of `block` threads. Nothing is started if a count is 0.
struct Shape3 {
  std::int64_t x = 1, y = 1, z = 1;
};

template <class... Parameters, class... Arguments>
void launch(const Stream& stream, void (*kernel)(Parameters...), const Shape3& grid, int block,
            Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  require(grid.x < (std::int64_t{1} << 31) && grid.y < 65536 && grid.z < 65536,
          "a kernel on {} x {} x {} blocks is beyond what CUDA allows", grid.x, grid.y, grid.z);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                        static_cast<unsigned>(grid.z));
  config.blockDim = dim3(static_cast<unsigned>(block));
  config.stream = cuda_stream_of(stream).handle();
  check(cudaLaunchKernelEx(&config, kernel,
                           static_cast<Parameters>(std::forward<Arguments>(arguments))...),
        "starting a kernel");
}

constexpr int warp_size = 32;

// The number of threads for `count` pieces of work: whole warps, at least one warp and at most
// `most` threads.
constexpr int threads_for(std::int64_t count, int most = 256) {
  const std::int64_t wanted = std::max<std::int64_t>(1, ceil_div(count, warp_size)) * warp_size;
  return static_cast<int>(std::min<std::int64_t>(wanted, most));
}

}  // namespace masformer::cuda
