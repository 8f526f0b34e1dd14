#include "runtime/ops/backend_cpu.h"

#include <cstdlib>
#include <cstring>

#include "runtime/arena.h"
#include "runtime/backend.h"
#include "runtime/error.h"

namespace masformer {
namespace {

void* allocate(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes);
  void* const memory = std::aligned_alloc(static_cast<std::size_t>(Arena::alignment), size);
  require(memory != nullptr, "no {:.2f} GiB of memory to be had", double(bytes) / (1 << 30));
  return std::memset(memory, 0, size);
}

void release(void* memory) noexcept {
  std::free(memory);
}

std::unique_ptr<DeviceStream> make_device_stream(int) {
  return nullptr;
}

std::vector<std::string> visible_devices() {
  return {};
}

void copy_across(const Stream&, Tensor, Tensor) {
  fail("host memory is the CPU's own");
}

}  // namespace

const Backend& cpu_backend() {
  static constexpr Backend table{
      .allocate = allocate,
      .release = release,
      .allocate_pinned = allocate,
      .release_pinned = release,
      .visible_devices = visible_devices,
      .make_device_stream = make_device_stream,
      .copy_across = copy_across,
      .supports_matmul = cpu::supports_matmul,
      .linear = cpu::linear,
      .linear_backward_input = cpu::linear_backward_input,
      .linear_backward_weight = cpu::linear_backward_weight,
      .linear_gelu = cpu::linear_gelu,
      .linear_backward_input_gelu = cpu::linear_backward_input_gelu,
      .attention = cpu::attention,
      .attention_backward = cpu::attention_backward,
      .gelu = cpu::gelu,
      .gelu_backward = cpu::gelu_backward,
      .layer_norm = cpu::layer_norm,
      .layer_norm_backward = cpu::layer_norm_backward,
      .add_residual = cpu::add_residual,
      .add_sum_of_squares = cpu::add_sum_of_squares,
      .clip_factor = cpu::clip_factor,
      .fill_zero = cpu::fill_zero,
      .copy = cpu::copy,
      .embedding = cpu::embedding,
      .embedding_backward = cpu::embedding_backward,
      .softmax_max = cpu::softmax_max,
      .softmax_sum = cpu::softmax_sum,
      .cross_entropy = cpu::cross_entropy,
      .cross_entropy_backward = cpu::cross_entropy_backward,
      .adamw = cpu::adamw,
  };
  return table;
}

}  // namespace masformer
