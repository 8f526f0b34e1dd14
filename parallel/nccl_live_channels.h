// All NCCL channels of a rank's stream, whatever group they serve; private to the nccl_*.cpp files.
#pragma once

#include <vector>

#include "runtime/cuda/queue.h"

namespace masformer::nccl {

class Channel;

// Kept by the stream's queue, which watches it.
class LiveChannels final : public cuda::LibraryState, public Watched {
 public:
  explicit LiveChannels(cuda::Queue& queue) { queue.watch(*this); }

  void add(Channel& channel) { all_.push_back(&channel); }
  void remove(Channel& channel) { std::erase(all_, &channel); }

  void check() override;
  // Ends them together, in the order of add(): the end of one gives back memory, and CUDA waits
  // with that for whatever runs on the device, operations of the others included.
  void give_up() noexcept override;

 private:
  std::vector<Channel*> all_;
};

}  // namespace masformer::nccl
