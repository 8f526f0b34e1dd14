#include "runtime/arena.h"

#include <algorithm>
#include <utility>

#include "runtime/backend.h"
#include "runtime/error.h"

namespace masformer {
Arena::Arena(Device device, std::int64_t capacity)
    : capacity_(round_up(capacity)), device_(device) {
  if (capacity_ > 0) memory_ = static_cast<std::byte*>(backend(device).allocate(capacity_));
}

Arena::Arena(Arena&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      used_(std::exchange(other.used_, 0)),
      device_(other.device_) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  Arena taken(std::move(other));  // frees what this arena held
  std::swap(memory_, taken.memory_);
  std::swap(capacity_, taken.capacity_);
  std::swap(used_, taken.used_);
  std::swap(device_, taken.device_);
  return *this;
}

Arena::~Arena() {
  if (memory_ != nullptr) backend(device_).release(memory_);
}

Tensor Arena::take(const Shape& shape, DType dtype) {
  const Tensor tensor = at(used_, shape, dtype);
  used_ += footprint(shape, dtype);
  return tensor;
}

Tensor Arena::at(std::int64_t offset, const Shape& shape, DType dtype) const {
  require(offset >= 0 && offset % alignment == 0 && offset + footprint(shape, dtype) <= capacity_,
          "a tensor {} at byte {} does not fit an arena of {} bytes", shape, offset, capacity_);
  return Tensor(memory_ + offset, shape, dtype, device_);
}

std::int64_t Arena::footprint(const Shape& shape, DType dtype) {
  return round_up(shape.elements() * size_of(dtype));
}

}  // namespace masformer
