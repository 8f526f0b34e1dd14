#include "runtime/wait_timer.h"

#include "runtime/error.h"

namespace masformer {

double TimedWaits::busy_seconds() const {
  double seconds = 0;
  for (const Stretch& all : all_) seconds += all.end.seconds_since(all.begin);
  for (const Stretch& wait : waits_) seconds -= wait.end.seconds_since(wait.begin);
  return seconds;
}

WaitTimer::WaitTimer(Stream& stream) : stream_(&stream) {
  require(stream.wait_timer() == nullptr, "the stream has a timer of waits already");
  timed_.all_.push_back({DeviceEvent(stream), {}});
  stream.set_wait_timer(this);
}

WaitTimer::~WaitTimer() {
  stream_->set_wait_timer(nullptr);
}

void WaitTimer::begin_wait() {
  if (depth_++ == 0) timed_.waits_.push_back({DeviceEvent(*stream_), {}});
}

void WaitTimer::end_wait() {
  if (--depth_ == 0) timed_.waits_.back().end = DeviceEvent(*stream_);
}

TimedWaits WaitTimer::finish() {
  timed_.all_.back().end = DeviceEvent(*stream_);
  stream_->set_wait_timer(nullptr);
  return std::move(timed_);
}

}  // namespace masformer
