// Numbers of the host on their way to a device, again and again, while its stream works on.
#pragma once

#include <optional>

#include "runtime/device_event.h"
#include "runtime/pinned_memory.h"
#include "runtime/tensor.h"

namespace masformer {

class Upload {
 public:
  // For a contiguous tensor on the stream's device; the stream outlives this object.
  Upload(const Stream& stream, Tensor to);

  // Where the host writes what the tensor shall hold. Waits until what was sent before has left.
  Tensor host();
  // The tensor holds it for all that is issued to the stream from now on.
  void send();

 private:
  const Stream* stream_;
  Tensor to_;
  std::optional<PinnedMemory> memory_;  // none on the CPU: the host writes to the tensor itself
  DeviceEvent sent_;
};

}  // namespace masformer
