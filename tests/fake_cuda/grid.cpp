// Grids: their blocks run one after the other, in a random order.
#include <algorithm>

#include "tests/fake_cuda/block.h"
#include "tests/fake_cuda/error.h"
#include "tests/fake_cuda/include/fake_cuda/launch.h"
#include "tests/fake_cuda/random.h"
#include "tests/fake_cuda/shared_memory.h"
#include "tests/fake_cuda/stream.h"

namespace fake_cuda {
namespace {

// The limits of compute capability 9.0.
bool is_possible(const dim3& grid, const dim3& shape) {
  const auto within = [](unsigned size, unsigned most) { return size >= 1 && size <= most; };
  return within(grid.x, 0x7fffffff) && within(grid.y, 65535) && within(grid.z, 65535) &&
         within(shape.x, 1024) && within(shape.y, 1024) && within(shape.z, 64) &&
         shape.x * shape.y * shape.z <= max_threads;
}

void run_grid(const dim3& grid, const dim3& shape, const void* kernel,
              const std::function<void()>& thread) {
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  const Order order(blocks);
  const std::span<std::byte> shared = shared_memory(kernel);
  gridDim = grid;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t number = order[i];
    const uint3 index{static_cast<unsigned>(number % grid.x),
                      static_cast<unsigned>(number / grid.x % grid.y),
                      static_cast<unsigned>(number / grid.x / grid.y)};
    std::ranges::fill(shared, std::byte{0xff});
    block().run(shape, index, thread);
  }
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread) {
  const auto& [grid, shape, dynamic_bytes, stream, attributes, attribute_count] = config;
  if (!is_stream(stream)) return remembered(cudaErrorInvalidResourceHandle);
  if (!is_possible(grid, shape)) return remembered(cudaErrorInvalidConfiguration);
  if (dynamic_bytes != 0 || attribute_count != 0) return remembered(cudaErrorNotSupported);
  enqueue(stream, [grid = grid, shape = shape, kernel, thread = std::move(thread)] {
    run_grid(grid, shape, kernel, thread);
    return true;
  });
  return cudaSuccess;
}

}  // namespace fake_cuda

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
