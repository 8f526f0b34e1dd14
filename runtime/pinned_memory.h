// Page-locked host memory. A device copies from and to it directly, without the driver's bounce
// buffer, while the host continues. A copy (ops/elementwise.h) from it to the device reads it when
// the stream reaches the copy; until then it must not change.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/tensor.h"

namespace masformer {

// Owns its memory. Empty after a move.
class PinnedMemory {
 public:
  // `bytes`: above 0, and a multiple of Arena::alignment. Throws Error if the system refuses.
  PinnedMemory(Device device, std::int64_t bytes);

  void* data() const { return data_.get(); }

 private:
  struct Release {
    Device device;
    void operator()(void* memory) const noexcept;
  };

  std::unique_ptr<void, Release> data_;
};

}  // namespace masformer
