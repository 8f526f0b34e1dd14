#include "runtime/stream.h"

#include "runtime/backend.h"
#include "runtime/error.h"

namespace masformer {

std::vector<std::string> visible_devices(Device device) {
  return backend(device).visible_devices();
}

Stream::Stream(Device device, int threads, int index, bool deterministic)
    : device_(device), threads_(threads), deterministic_(deterministic) {
  require(threads >= 1, "a stream needs at least one thread, not {}", threads);
  device_stream_ = backend(device).make_device_stream(index);
}

void require_same_device(const Stream& stream, const Tensor& tensor) {
  require(stream.device() == tensor.device(), "a tensor on {} is used with a stream on {}",
          name_of(tensor.device()), name_of(stream.device()));
}

}  // namespace masformer
