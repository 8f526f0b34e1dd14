// A point in the order of a stream's work: to wait for, and to take times between.
#pragma once

#include <chrono>
#include <memory>

#include "runtime/stream.h"

namespace masformer {

// Movable; empty, it lies before all work.
class DeviceEvent {
 public:
  DeviceEvent() = default;
  // At the end of what `stream` has been given so far; the stream outlives it.
  explicit DeviceEvent(const Stream& stream);

  // Returns when the stream has come here.
  void wait() const;
  // From when the stream came to `earlier` until it came here. Waits for the stream. Neither is
  // empty.
  double seconds_since(const DeviceEvent& earlier) const;

 private:
  std::chrono::steady_clock::time_point time_;  // on the CPU, where all is done when it is issued
  std::unique_ptr<BackendEvent> event_;         // elsewhere
};

}  // namespace masformer
