// One block of device memory, allocated once at start-up and handed out as tensors, so that a
// rank's peak is known before it trains. An arena owns its memory; tensors taken from it are views.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/rounding.h"
#include "runtime/tensor.h"

namespace masformer {

class Arena {
 public:
  static constexpr std::int64_t alignment = 64;  // bytes; every tensor is aligned to it

  Arena() = default;  // holds nothing
  // Allocates `capacity` zero-filled bytes on `device`. Throws Error if the system refuses; a
  // system that overcommits kills the process instead.
  Arena(Device device, std::int64_t capacity);
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // take() returns the next free tensor, at() one at `offset` bytes (a multiple of `alignment`) for
  // plans that place buffers themselves. Both throw Error past the capacity.
  Tensor take(const Shape& shape, DType dtype);
  Tensor at(std::int64_t offset, const Shape& shape, DType dtype) const;

  std::int64_t capacity() const { return capacity_; }  // bytes
  std::int64_t used() const { return used_; }          // bytes handed out by take()
  Device device() const { return device_; }

  static constexpr std::int64_t round_up(std::int64_t bytes) {
    return masformer::round_up(bytes, alignment);
  }
  // The bytes that a tensor occupies in an arena: its size, rounded up to the alignment.
  static std::int64_t footprint(const Shape& shape, DType dtype);

 private:
  std::byte* memory_ = nullptr;
  std::int64_t capacity_ = 0;
  std::int64_t used_ = 0;
  Device device_ = Device::cpu;
};

}  // namespace masformer
