// Copies numbers from the host to a tensor on a device, repeatedly, while the device's stream
// continues.
#pragma once

#include <optional>

#include "runtime/device_event.h"
#include "runtime/pinned_memory.h"
#include "runtime/tensor.h"

namespace masformer {

class Upload {
 public:
  // For a contiguous tensor on the stream's device. The stream must outlive this object.
  Upload(const Stream& stream, Tensor to);

  // Returns the memory into which the host writes the next contents of the tensor. Waits until the
  // previous contents have been copied.
  Tensor host();
  // Issues the copy. Work that is issued to the stream afterwards sees the new contents.
  void send();

 private:
  const Stream* stream_;
  Tensor to_;
  std::optional<PinnedMemory> memory_;  // none on the CPU: the host writes to the tensor itself
  DeviceEvent sent_;
};

}  // namespace masformer
