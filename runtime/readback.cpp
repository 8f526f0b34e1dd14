#include "runtime/readback.h"

#include "runtime/arena.h"

namespace masformer {

Readback::Readback(const Stream& stream) : stream_(&stream) {
  if (stream.device() != Device::cpu) memory_.emplace(stream.device(), Arena::alignment);
}

void Readback::start(Tensor x) {
  require_same_device(*stream_, x);
  if (!memory_) {
    value_ = *x.data<double>();
    return;
  }
  stream_->device_stream()->download(x, memory_->data());
  taken_ = DeviceEvent(*stream_);
}

double Readback::wait() const {
  if (!memory_) return value_;
  taken_.wait();
  return *static_cast<const double*>(memory_->data());
}

}  // namespace masformer
