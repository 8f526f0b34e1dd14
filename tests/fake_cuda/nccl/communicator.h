// A communicator of the fake of NCCL. At each poll() it does one step of the work that NCCL does in
// the background, so a program that does not poll makes no progress.
#pragma once

#include <memory>
#include <nccl.h>
#include <optional>
#include <vector>

#include "tests/fake_cuda/nccl/operation.h"

namespace fake_cuda::nccl {

// The contents of an ncclUniqueId: which process made it, and how many ids that process made
// before.
struct Id {
  int root, serial;
};

// Ranks find each other through the process that made the id: each sends it its world rank, and
// receives those of all.
class Connection {
 public:
  Connection(const Id& id, int size, int rank);
  // Returns true when `members` has been filled in.
  bool advance(Members& members);

 private:
  bool advance_root();
  bool advance_other();

  Id id_;
  int size_, rank_;
  bool root_;
  std::vector<int> world_ranks_;  // -1 if not yet known
  int unknown_;
  std::vector<Transfer> sends_;
  std::optional<Transfer> arriving_;
};

}  // namespace fake_cuda::nccl

struct ncclComm {
 public:
  ncclComm(const fake_cuda::nccl::Id& id, int size, int rank);

  ncclResult_t poll();
  const fake_cuda::nccl::Members& members() const { return *members_; }
  int size() const { return size_; }
  bool idle() const { return state_ == ncclSuccess; }
  // Whether a launch in the background waits until nothing runs on the device.
  bool stalled() const { return stalled_; }
  // Runs these calls on the stream, now or at a later poll().
  void launch(std::vector<fake_cuda::nccl::Call> calls, cudaStream_t stream);
  void finalize();
  bool finalized() const { return finalizing_ && state_ == ncclSuccess; }
  // Ends all pending operations.
  void abort() { work_->aborted = true; }

 private:
  // Outlives an aborted communicator, since streams still have its work.
  struct Work {
    int unfinished = 0;
    bool aborted = false;
    bool failed = false;
  };

  void issue();

  int size_;
  std::shared_ptr<fake_cuda::nccl::Members> members_;
  std::optional<fake_cuda::nccl::Connection> connection_;
  ncclResult_t state_ = ncclInProgress;
  bool finalizing_ = false;
  bool stalled_ = false;
  int polls_to_come_;                         // polls before the next step
  std::vector<fake_cuda::nccl::Call> calls_;  // not yet on the stream
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<Work> work_;
};
