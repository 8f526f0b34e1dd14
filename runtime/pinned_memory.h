// Host memory that a device copies from and to by itself: faster than by way of the driver's own,
// and while the host goes on. A copy (ops/elementwise.h) from it to the device reads it when the
// stream comes to the copy; until then it must not change.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/tensor.h"

namespace masformer {

// Owns its memory; empty after a move.
class PinnedMemory {
 public:
  // `bytes`: above 0, a multiple of Arena::alignment. Throws Error where the system refuses.
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
