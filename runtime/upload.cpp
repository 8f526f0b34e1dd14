#include "runtime/upload.h"

#include "runtime/arena.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

Upload::Upload(const Stream& stream, Tensor to) : stream_(&stream), to_(to) {
  if (stream.device() == Device::cpu) return;
  memory_.emplace(stream.device(), Arena::footprint(to.shape(), to.dtype()));
}

Tensor Upload::host() {
  if (!memory_) return to_;
  sent_.wait();
  return {memory_->data(), to_.shape(), to_.dtype(), Device::cpu};
}

void Upload::send() {
  if (!memory_) return;
  copy(*stream_, {memory_->data(), to_.shape(), to_.dtype(), Device::cpu}, to_);
  sent_ = DeviceEvent(*stream_);
}

}  // namespace masformer
