// Copies a number from a device to the host while the device's stream continues.
#pragma once

#include <optional>

#include "runtime/device_event.h"
#include "runtime/pinned_memory.h"
#include "runtime/tensor.h"

namespace masformer {

class Readback {
 public:
  // The stream must outlive this object.
  explicit Readback(const Stream& stream);

  // Issues a copy of the element of `x`, [1] fp64 on the stream's device. It replaces the value of
  // the call before.
  void start(Tensor x);
  // Returns the value that the last start() copied. Waits until the stream has reached that copy.
  double wait() const;

 private:
  const Stream* stream_;
  std::optional<PinnedMemory> memory_;  // none on the CPU
  double value_ = 0;                    // on the CPU
  DeviceEvent taken_;
};

}  // namespace masformer
