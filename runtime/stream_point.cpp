#include "runtime/stream_point.h"

namespace masformer {

StreamPoint::StreamPoint(const Stream& stream) : time_(std::chrono::steady_clock::now()) {
  if (stream.queue() != nullptr) mark_ = stream.queue()->mark();
}

void StreamPoint::wait() const {
  if (mark_) mark_->wait();
}

double StreamPoint::seconds_since(const StreamPoint& earlier) const {
  wait();
  if (mark_) return mark_->seconds_since(*earlier.mark_);
  return std::chrono::duration<double>(time_ - earlier.time_).count();
}

}  // namespace masformer
