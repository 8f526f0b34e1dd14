// A group of ranks that exchange tensors. All ranks of the group start the same operations in the
// same order, each from one thread. An operation returns a Request; the contents of its tensors are
// unspecified until that is waited for. Tensors are contiguous; the dtypes are fp32, bf16 (summed
// in fp32; without maxima), fp64, int32.
//
// An operation on a device tensor runs behind the work issued to the rank's compute Stream so far,
// and waiting for its request orders that stream (request.h). Transports that promise less about
// sums than MPI document it.
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
  bool messages = true;  // between the ranks that it was linked for
  // Whether an operation moves on only while this rank waits for one, or calls Request::done().
  bool needs_polling = false;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place. Every rank gets the same bits; the order of a sum depends on the group's size, the
  // tensor's size and the element's place in it alone.
  virtual Request all_reduce(Tensor x, Reduction reduction) = 0;
  // The rows of a tensor (its first dimension) are shared out: shard_range(rows, size, r) is rank
  // r's. Afterwards this rank's rows hold the sum of all ranks' rows, added in the order of ranks;
  // the others are to be taken for lost. Takes reduce_scatter_memory(size) bytes, once a group.
  virtual Request reduce_scatter(Tensor x) = 0;
  // Afterwards every rank's rows of `x` are those of the rank that they belong to.
  virtual Request all_gather(Tensor x) = 0;
  virtual Request broadcast(Tensor x, int root) = 0;
  // Point to point; messages between two ranks arrive in the order of sending.
  virtual Request send(Tensor x, int to) = 0;
  virtual Request receive(Tensor x, int from) = 0;

  // The control plane: small texts and barriers. These return when done.
  // All ranks' texts in the order of ranks, on every rank.
  virtual std::vector<std::string> all_gather(const std::string& text) = 0;
  virtual void barrier() = 0;

  virtual GroupTraits traits() const = 0;
  // What this rank has handed to the transport since the start: the tensor's size for a
  // send, and for the root of a broadcast to others; the other ranks' rows for a reduce-scatter,
  // its own rows once for each other rank for an all-gather; 2 (size - 1) / size of the tensor,
  // rounded down, for an all-reduce, as a ring moves it; in bf16 what its two halves hand over, a
  // reduce-scatter and an all-gather. The control plane is left out.
  virtual SentBytes sent_bytes() const = 0;
  // Bytes of host memory that this rank holds for the group's work: none at first, and
  // reduce_scatter_memory(size) from the first reduce-scatter or sum in bf16 on; staging adds to it
  // (staged/communicator.h). Without MPI's own and NCCL's, which is on the device.
  virtual std::int64_t working_memory() const = 0;
};

// Working memory that the reduce-scatters of a group of `ranks` are going to take, in bytes, for
// plans.
std::int64_t reduce_scatter_memory(int ranks);

// Waits for the sum of one number over all ranks.
double sum_over(Communicator& group, double value);

// Every rank says what is wrong with it, or nothing (""). Where any rank has something to say, all
// ranks throw AgreedUsageError (AgreedError where `failure`) with each distinct complaint once, and
// the ranks that made it. Call it before the first collective that a refused rank would miss.
void throw_collectively(Communicator& group, const std::string& complaint, bool failure = false);

}  // namespace masformer
