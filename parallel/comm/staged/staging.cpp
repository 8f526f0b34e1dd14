#include "parallel/comm/staged/staging.h"

#include <algorithm>

#include "runtime/arena.h"
#include "runtime/ops/elementwise.h"

namespace masformer {

Staging::Buffer Staging::take(std::int64_t bytes) {
  const std::int64_t size = Arena::round_up(bytes);
  const auto found = std::ranges::find_if(
      blocks_, [&](const Block& block) { return block.free && block.bytes == size; });
  if (found != blocks_.end()) return Buffer(*found);
  blocks_.push_back({PinnedMemory(stream_.device(), size), size, true});
  bytes_ += size;
  return Buffer(blocks_.back());
}

void Staging::to_host(const Tensor& x, const Tensor& host) {
  if (x.elements() == 0) return;
  copy(stream_, x, host);
  copying_to_device_ = false;  // earlier copies of the stream are complete, too
}

void Staging::to_device(const Tensor& host, const Tensor& x) {
  copy(stream_, host, x);
  copying_to_device_ = true;
}

void Staging::drain() {
  if (copying_to_device_) stream_.synchronize();
  copying_to_device_ = false;
}

}  // namespace masformer
