#include "runtime/device_event.h"

namespace masformer {

DeviceEvent::DeviceEvent(const Stream& stream) : time_(std::chrono::steady_clock::now()) {
  if (stream.device_stream() != nullptr) event_ = stream.device_stream()->record();
}

void DeviceEvent::wait() const {
  if (event_) event_->wait();
}

double DeviceEvent::seconds_since(const DeviceEvent& earlier) const {
  wait();
  if (event_) return event_->seconds_since(*earlier.event_);
  return std::chrono::duration<double>(time_ - earlier.time_).count();
}

}  // namespace masformer
