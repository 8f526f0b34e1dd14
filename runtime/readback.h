// A number of a device on its way to the host, while the device's stream works on.
#pragma once

#include <optional>

#include "runtime/device_event.h"
#include "runtime/pinned_memory.h"
#include "runtime/tensor.h"

namespace masformer {

class Readback {
 public:
  // The stream outlives this object.
  explicit Readback(const Stream& stream);

  // Takes the element of `x`, [1] fp64 on the stream's device, as it is when the stream comes here.
  // What was taken before is gone.
  void start(Tensor x);
  // What was taken. Waits until the stream has come to start().
  double wait() const;

 private:
  const Stream* stream_;
  std::optional<PinnedMemory> memory_;  // none on the CPU
  double value_ = 0;                    // on the CPU
  DeviceEvent taken_;
};

}  // namespace masformer
