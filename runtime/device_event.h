// A point in the order of a stream's work. One can wait for it, and measure the time between two of
// them.
#pragma once

#include <chrono>
#include <memory>

#include "runtime/stream.h"

namespace masformer {

// Movable. An empty event counts as reached.
class DeviceEvent {
 public:
  DeviceEvent() = default;
  // Records the end of the work that `stream` has been given so far. The stream must outlive it.
  explicit DeviceEvent(const Stream& stream);

  // Returns when the stream has reached this point.
  void wait() const;
  // Seconds from `earlier` to this point. Waits for the stream. Neither may be empty.
  double seconds_since(const DeviceEvent& earlier) const;

 private:
  std::chrono::steady_clock::time_point time_;  // on the CPU, where work is done when it is issued
  std::unique_ptr<BackendEvent> event_;         // on other devices
};

}  // namespace masformer
