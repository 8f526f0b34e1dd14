// The calls of one ncclGroupStart/ncclGroupEnd on one communicator, which a stream runs as one
// operation (fake NCCL).
#pragma once

#include <memory>
#include <nccl.h>
#include <optional>
#include <vector>

#include "tests/fake_cuda/nccl/wire.h"

namespace fake_cuda::nccl {

enum class Kind { all_reduce, reduce, broadcast, reduce_scatter, all_gather, send, receive };

// A call, with its operands as in nccl.h. `root`: for reduce and broadcast; for messages, the peer.
struct Call {
  Kind kind;
  const void* from;
  void* to;
  std::size_t count;
  ncclDataType_t type;
  ncclRedOp_t op = ncclSum;
  int root = 0;
};

// The ranks of a communicator.
struct Members {
  int rank = 0;
  int tag = 0;                   // the tag of all messages between them
  std::vector<int> world_ranks;  // empty until they are connected

  int size() const { return static_cast<int>(world_ranks.size()); }
};

std::size_t size_of(ncclDataType_t type);  // bytes; 0 for types that the fake does not know

// Stops the program if operands are not on the device, or overlap other than in place.
void check_operands(const Call& call, int rank, int size);

// The calls of one group, which run at the same time: none waits for another.
class Launch {
 public:
  Launch(std::shared_ptr<const Members> members, std::vector<Call> calls);
  // Must be called repeatedly until it returns true.
  bool advance();

 private:
  struct Expected {
    std::size_t call;
    int from;
    std::optional<Transfer> transfer;  // set once the message has arrived
  };

  void begin();
  void send(std::size_t call, int to, const void* data, std::size_t count);
  bool all_arrived();
  void finish(std::size_t call);
  // The input of rank `from` to a call. For this rank, that is its own memory.
  const std::byte* given(std::size_t call, int from) const;
  // to = the sum (or the maximum) over all ranks of their inputs from element `begin` on, in the
  // order of a ring: it begins with the rank after `last` and ends with `last`.
  void reduce(std::size_t call, std::size_t begin, std::size_t count, int last, void* to) const;

  std::shared_ptr<const Members> members_;
  std::vector<Call> calls_;
  bool begun_ = false;
  std::vector<Bytes> own_;  // [call]
  std::vector<Transfer> sends_;
  std::vector<Expected> expected_;
};

}  // namespace fake_cuda::nccl
