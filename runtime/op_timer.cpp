#include "runtime/op_timer.h"

#include "runtime/error.h"

namespace masformer {

OpTimer::OpTimer(Stream& stream) : stream_(&stream), begin_(stream) {
  require(stream.timer() == nullptr, "the stream has a timer already");
  stream.set_timer(this);
}

OpTimer::~OpTimer() {
  if (stream_->timer() == this) stream_->set_timer(nullptr);
}

void OpTimer::begin_call(std::string_view name, CallKind kind, double flops) {
  if (depth_++ > 0) return;
  calls_.push_back({name, kind, site_, flops, DeviceEvent(*stream_), {}});
}

void OpTimer::end_call() {
  if (--depth_ == 0) calls_.back().end = DeviceEvent(*stream_);
}

void OpTimer::finish() {
  end_ = DeviceEvent(*stream_);
  stream_->set_timer(nullptr);
}

std::vector<TimedCall> OpTimer::calls() const {
  std::vector<TimedCall> timed;
  timed.reserve(calls_.size());
  for (const Call& call : calls_) {
    timed.push_back(
        {call.name, call.kind, call.site, call.flops, call.end.seconds_since(call.begin)});
  }
  return timed;
}

}  // namespace masformer
