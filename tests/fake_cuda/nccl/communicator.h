// A communicator of the NCCL double. It does in its own time what NCCL does in the background, a
// little at each poll(), so that a program which does not ask never gets anywhere.
#pragma once

#include <memory>
#include <nccl.h>
#include <optional>
#include <vector>

#include "tests/fake_cuda/nccl/operation.h"

namespace fake_cuda::nccl {

// What stands in an ncclUniqueId: where the process that made it is, and how many it made before.
struct Id {
  int root, serial;
};

// Ranks find each other by the process that made the id: each tells it its world rank, and gets
// those of all.
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
  std::vector<int> world_ranks_;  // -1 where not yet known
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
  // Whether its launch in the background never ends while anything runs on the device.
  bool stalled() const { return stalled_; }
  // Runs these on the stream, now or at a later poll().
  void launch(std::vector<fake_cuda::nccl::Call> calls, cudaStream_t stream);
  void finalize();
  bool finalized() const { return finalizing_ && state_ == ncclSuccess; }
  // Ends what is under way.
  void abort() { work_->aborted = true; }

 private:
  // What outlives an aborted communicator, since streams still hold its work.
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
  int polls_to_come_;                         // before the next thing happens
  std::vector<fake_cuda::nccl::Call> calls_;  // that are not yet on the stream
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<Work> work_;
};
