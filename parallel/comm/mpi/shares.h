// Reduce-scatter and all-gather of a tensor's rows by messages between all pairs of ranks; private
// to this folder.
//
// Own algorithms, not MPI_Ireduce_scatter: sums are added in the order of ranks whatever the sizes,
// and land where their rows stand.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <mpi.h>

#include "parallel/comm/request.h"
#include "parallel/sharding.h"
#include "runtime/tensor.h"

namespace masformer {

// Where an operation takes place. Its messages carry a tag of their own, the same on all ranks, so
// that several may be under way at once.
struct ShareGroup {
  MPI_Comm comm;
  int rank, size, tag;
};

class ReduceScatter;

// The reduce-scatters of one group. All send at once; they receive one after the other, in the
// order of their start, into the same working memory (reduce_scatter_memory()).
class ReduceScatters {
 public:
  // `x` is contiguous, in host memory, and untouched until the event is done. One group for all
  // calls.
  Request start(const ShareGroup& group, const Tensor& x);
  // In bytes; none before the first start.
  std::int64_t working_memory() const { return arrived_ ? std::ssize(*arrived_) : 0; }

 private:
  std::shared_ptr<std::vector<char>> arrived_;
  std::weak_ptr<ReduceScatter> last_;
};

// `x` as above; only other ranks' rows are written.
Request start_all_gather(const ShareGroup& group, const Tensor& x);

}  // namespace masformer
