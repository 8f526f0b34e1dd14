// What a communicator of the NCCL double does on a stream: the calls of one group.
#pragma once

#include <memory>
#include <nccl.h>
#include <optional>
#include <vector>

#include "tests/fake_cuda/nccl/wire.h"

namespace fake_cuda::nccl {

enum class Kind { all_reduce, reduce, broadcast, reduce_scatter, all_gather, send, receive };

// A call, as nccl.h gives its operands. `root`: of reduce and broadcast; of messages, the peer.
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
  int tag = 0;                   // of all their messages
  std::vector<int> world_ranks;  // none before they are connected

  int size() const { return static_cast<int>(world_ranks.size()); }
};

std::size_t size_of(ncclDataType_t type);  // bytes; 0 for types that the double does not know

// Stops the program where operands do not lie on the device, or overlap in another way than an
// in-place operation's.
void check_operands(const Call& call, int rank, int size);

// Calls of one group, run as one. All of them move on together: none waits for another.
class Launch {
 public:
  Launch(std::shared_ptr<const Members> members, std::vector<Call> calls);
  // To be called again and again until it returns true.
  bool advance();

 private:
  struct Expected {
    std::size_t call;
    int from;
    std::optional<Transfer> transfer;  // once the message has come
  };

  void begin();
  void send(std::size_t call, int to, const void* data, std::size_t count);
  bool all_arrived();
  void finish(std::size_t call);
  // What rank `from` gave to a call; from this rank's own memory where it is this one.
  const std::byte* given(std::size_t call, int from) const;
  // to = the sum (or the largest) over all ranks of what each gave from element `begin` on, as a
  // ring adds it: from the rank after `last` on, with `last` at the end.
  void reduce(std::size_t call, std::size_t begin, std::size_t count, int last, void* to) const;

  std::shared_ptr<const Members> members_;
  std::vector<Call> calls_;
  bool begun_ = false;
  std::vector<Bytes> own_;  // [call]
  std::vector<Transfer> sends_;
  std::vector<Expected> expected_;
};

}  // namespace fake_cuda::nccl
