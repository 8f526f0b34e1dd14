// All NCCL connections of a rank's stream, whatever group they serve; private to this
// folder.
#pragma once

#include <vector>

#include "runtime/cuda/stream.h"

namespace masformer::nccl {

class NcclConnection;

// Kept by the stream's queue, which watches it.
class LiveConnections final : public cuda::LibraryState, public Watched {
 public:
  explicit LiveConnections(cuda::CudaStream& queue) { queue.watch(*this); }

  void add(NcclConnection& connection) { all_.push_back(&connection); }
  void remove(NcclConnection& connection) { std::erase(all_, &connection); }

  void check() override;
  // Ends them together, in the order of add(): the end of one gives back memory, and CUDA waits
  // with that for whatever runs on the device, operations of the others included.
  void abort_all() noexcept override;

 private:
  std::vector<NcclConnection*> all_;
};

}  // namespace masformer::nccl
