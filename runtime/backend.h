// What a device does for the program: its memory, its queues and its ops. There is one table for
// each kind of device. An op's NAME.cpp checks the operands against the contract in NAME.h and
// calls the table of its stream's device; nobody else does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/ops/adamw.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"
#include "runtime/stream.h"

namespace masformer {

struct Backend {
  // Zero-filled, on a border of Arena::alignment bytes at least. Throws Error where there is none
  // left. release() waits for what uses the memory.
  void* (*allocate)(std::int64_t bytes);
  void (*release)(void* memory) noexcept;
  // Of the host, for pinned_memory.h; as the two above.
  void* (*allocate_pinned)(std::int64_t bytes);
  void (*release_pinned)(void* memory) noexcept;
  // For visible_devices().
  std::vector<std::string> (*visible_devices)();
  // What a stream on the machine's device `index` keeps; null where calls return when they are
  // done.
  std::unique_ptr<DeviceStream> (*make_device_stream)(int index);

  // As copy() does between host and device.
  void (*copy_across)(const Stream& stream, Tensor from, Tensor to);

  decltype(masformer::supports_matmul)* supports_matmul;
  decltype(masformer::linear)* linear;
  decltype(masformer::linear_backward_input)* linear_backward_input;
  decltype(masformer::linear_backward_weight)* linear_backward_weight;
  decltype(masformer::linear_gelu)* linear_gelu;
  decltype(masformer::linear_backward_input_gelu)* linear_backward_input_gelu;
  decltype(masformer::attention)* attention;
  decltype(masformer::attention_backward)* attention_backward;
  decltype(masformer::gelu)* gelu;
  decltype(masformer::gelu_backward)* gelu_backward;
  decltype(masformer::layer_norm)* layer_norm;
  decltype(masformer::layer_norm_backward)* layer_norm_backward;
  decltype(masformer::add_residual)* add_residual;
  decltype(masformer::add_sum_of_squares)* add_sum_of_squares;
  decltype(masformer::clip_factor)* clip_factor;
  decltype(masformer::fill_zero)* fill_zero;
  decltype(masformer::copy)* copy;
  decltype(masformer::embedding)* embedding;
  decltype(masformer::embedding_backward)* embedding_backward;
  decltype(masformer::softmax_max)* softmax_max;
  decltype(masformer::softmax_sum)* softmax_sum;
  decltype(masformer::cross_entropy)* cross_entropy;
  decltype(masformer::cross_entropy_backward)* cross_entropy_backward;
  decltype(masformer::adamw)* adamw;
};

// The table of a kind of device. The first call opens the plugin of a device that has one
// (plugin.h). Throws UsageError if this build or this machine has no such device.
const Backend& backend(Device device);
inline const Backend& backend(const Stream& stream) {
  return backend(stream.device());
}

const Backend& cpu_backend();

}  // namespace masformer
