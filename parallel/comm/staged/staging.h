// Pinned host memory through which tensors of a device pass on their way between ranks.
#pragma once

#include <cstdint>
#include <list>
#include <utility>

#include "runtime/pinned_memory.h"
#include "runtime/stream.h"

namespace masformer {

// Allocates buffers when they are first needed, and reuses them.
class Staging {
 public:
  class Buffer;

  // The stream must outlive this object, and this object its buffers.
  explicit Staging(const Stream& stream) : stream_(stream) {}

  // A buffer of at least `bytes`, which must be above 0.
  Buffer take(std::int64_t bytes);
  std::int64_t bytes() const { return bytes_; }  // allocated so far

  // Copies a tensor from the device. The copy is complete on return.
  void to_host(const Tensor& x, const Tensor& host);
  // Issues a copy to the device. The buffer of `host` may be released at once; but call drain()
  // before the host writes to any buffer.
  void to_device(const Tensor& host, const Tensor& x);
  // Returns when all copies to the device are complete.
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

// Owns a buffer until it is destroyed. Move-only.
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
  // Never reuses the memory, because MPI may still write to it.
  void abandon() noexcept { block_ = nullptr; }

 private:
  Block* block_;
};

}  // namespace masformer
