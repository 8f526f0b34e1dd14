// All NCCL connections of a rank's compute stream, for all groups; private to this folder.
#pragma once

#include <vector>

#include "runtime/cuda/stream.h"

namespace masformer::nccl {

class NcclConnection;

// Owned by the CUDA stream, which watches it.
class LiveConnections final : public cuda::LibraryState, public Watched {
 public:
  explicit LiveConnections(cuda::CudaStream& stream) { stream.watch(*this); }

  void add(NcclConnection& connection) { all_.push_back(&connection); }
  void remove(NcclConnection& connection) { std::erase(all_, &connection); }

  // Throws Error if an operation failed or is late. An operation that waits for one of another
  // connection is not late, so this checks all connections together.
  void check() override;
  // Aborts all connections together, in the order of add(). Aborting only one could hang: it frees
  // memory, and CUDA delays that until the device is idle, which waits for the operations of the
  // other connections.
  void abort_all() noexcept override;

 private:
  std::vector<NcclConnection*> all_;
};

}  // namespace masformer::nccl
