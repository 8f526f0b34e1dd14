// A group of ranks that exchange tensors. All ranks of the group start the same operations in the
// same order, each from one thread. An operation returns a Request; the contents of its tensors are
// unspecified until the request is waited for. Tensors are contiguous; the dtypes are fp32, fp64,
// int32 and bf16. bf16 is summed in fp32, and has no other reduction.
//
// An operation on a device tensor runs after the work issued so far to the rank's compute Stream,
// and waiting for its request orders that stream (request.h). A transport whose sums do not keep
// the promises below documents it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/comm/request.h"
#include "parallel/comm/sent_bytes.h"
#include "runtime/tensor.h"

namespace masformer {

enum class Reduction { sum, max };

// What a group can do with tensors on the rank's device; with host tensors it can do everything.
struct GroupTraits {
  bool collectives = true;
  bool messages = true;  // between linked ranks (link.h)
  // Whether operations make progress only while this rank waits for one or calls Request::done().
  bool needs_polling = false;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place. Every rank gets the same bits. The order of a sum depends only on the group's size,
  // the tensor's size and the element's index.
  virtual Request all_reduce(Tensor x, Reduction reduction) = 0;
  // Rank r owns the rows (first dimension) shard_range(rows, size, r). Afterwards this rank's rows
  // hold the sum over all ranks, added in the order of ranks; the other rows are unspecified.
  // Allocates reduce_scatter_memory(size) bytes once per group.
  virtual Request reduce_scatter(Tensor x) = 0;
  // Copies each row of `x` from its owner (as in reduce_scatter) to all ranks.
  virtual Request all_gather(Tensor x) = 0;
  virtual Request broadcast(Tensor x, int root) = 0;
  // Point to point. Messages between two ranks arrive in the order in which they were sent.
  virtual Request send(Tensor x, int to) = 0;
  virtual Request receive(Tensor x, int from) = 0;

  // The control plane: small texts and barriers. These calls return when they are done.
  // Returns all ranks' texts in the order of ranks, on every rank.
  virtual std::vector<std::string> all_gather(const std::string& text) = 0;
  virtual void barrier() = 0;

  virtual GroupTraits traits() const = 0;
  // Lets the transport move messages of any of this rank's groups. Does nothing unless the group
  // needs polling. Sums in several steps make progress only by their own requests.
  virtual void progress() {}
  // The bytes that this rank has passed to the transport so far, without the control plane:
  // - send: the tensor's size;
  // - broadcast: the tensor's size on the root, 0 elsewhere and in a group of one;
  // - reduce-scatter: the other ranks' rows;
  // - all-gather: its own rows, once for each other rank;
  // - all-reduce: 2 (size - 1) / size of the tensor, rounded down, as a ring moves it; in bf16, the
  //   sum of the reduce-scatter and the all-gather that it consists of.
  virtual SentBytes sent_bytes() const = 0;
  // Bytes of host memory that this rank has allocated for the group's operations: 0 at first, and
  // reduce_scatter_memory(size) after the first reduce-scatter or bf16 sum; staging adds to it
  // (staged/communicator.h). Does not include the memory of MPI and of NCCL itself.
  virtual std::int64_t working_memory() const = 0;
};

// The working memory of the reduce-scatters of a group of `ranks`, in bytes; for memory plans.
std::int64_t reduce_scatter_memory(int ranks);

// Returns the sum of one number over all ranks. Waits for all of them.
double sum_over(Communicator& group, double value);

// Collective. `complaint` says what is wrong on this rank, "" if nothing is. If any rank complains,
// all ranks throw AgreedUsageError (AgreedError if `failure`), with each distinct complaint once
// and the ranks that made it. Call it before the first collective that a failed rank would miss.
void throw_collectively(Communicator& group, const std::string& complaint, bool failure = false);

}  // namespace masformer
