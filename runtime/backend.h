// The interface to a device: functions for its memory, its streams and its ops. There is one table
// for each kind of device. Ops are called only through runtime/ops/dispatch.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/ops/op_list.h"
#include "runtime/stream.h"

namespace masformer {

struct Backend {
  // Zero-filled memory, aligned to Arena::alignment bytes at least. Throws Error if too little is
  // left. release() waits for the work that uses the memory.
  void* (*allocate)(std::int64_t bytes);
  void (*release)(void* memory) noexcept;
  // The same two functions for pinned host memory (pinned_memory.h).
  void* (*allocate_pinned)(std::int64_t bytes);
  void (*release_pinned)(void* memory) noexcept;
  // For visible_devices().
  std::vector<std::string> (*visible_devices)();
  // Makes what a stream on the machine's device `index` owns; null if ops of this kind of device
  // are done when their calls return.
  std::unique_ptr<DeviceStream> (*make_device_stream)(int index);

  decltype(masformer::supports_matmul)* supports_matmul;

#define MASFORMER_OP_MEMBER(op, ...) decltype(masformer::op)* op;
  MASFORMER_OPS(MASFORMER_OP_MEMBER)
#undef MASFORMER_OP_MEMBER
};

// The table of a kind of device. The first call opens the plugin of a device that has one
// (plugin.h). Throws UsageError if this build or this machine has no such device.
const Backend& backend(Device device);
inline const Backend& backend(const Stream& stream) {
  return backend(stream.device());
}

const Backend& cpu_backend();

}  // namespace masformer
