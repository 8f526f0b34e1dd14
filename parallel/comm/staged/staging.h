// Pinned host memory that tensors of a device go through on their way between ranks.
#pragma once

#include <cstdint>
#include <list>
#include <utility>

#include "runtime/pinned_memory.h"
#include "runtime/stream.h"

namespace masformer {

// Buffers are taken from the system when they are first needed, and used again.
class Staging {
 public:
  class Buffer;

  // The stream outlives this object, and this object its buffers.
  explicit Staging(const Stream& stream) : stream_(stream) {}

  // One of `bytes`, which must be above 0: rounded up, that is the size of a buffer.
  Buffer take(std::int64_t bytes);
  std::int64_t bytes() const { return bytes_; }  // taken from the system so far

  // Copies a tensor of the device; it has arrived on return.
  void to_host(const Tensor& x, const Tensor& host);
  // Copies to the device when the stream comes to it. `host` may be taken anew at once, but before
  // the host writes to any buffer, settle().
  void to_device(const Tensor& host, const Tensor& x);
  // Returns when all copies to the device have been done.
  void drain();

 private:
  struct Block {
    PinnedMemory memory;
    std::int64_t bytes;
    bool free;
  };

  const Stream& stream_;
  std::list<Block> blocks_;
  std::int64_t bytes_ = 0;
  bool copying_to_device_ = false;
};

// Belongs to whoever holds it until it ends. Move-only.
class Staging::Buffer {
 public:
  explicit Buffer(Block& block) : block_(&block) { block.free = false; }
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer&&) = delete;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (block_ != nullptr) block_->free = true;
  }

  Tensor as(const Shape& shape, DType dtype) const {
    return Tensor(block_->memory.data(), shape, dtype, Device::cpu);
  }
  // Nobody gets the memory again: someone may still write to it.
  void abandon() noexcept { block_ = nullptr; }

 private:
  Block* block_;
};

}  // namespace masformer
