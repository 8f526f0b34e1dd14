// Reduce-scatter and all-gather of a tensor's rows by messages between all pairs of ranks; private
// to this folder.
//
// Unlike MPI_Ireduce_scatter, they add in the order of ranks for all sizes, and write the sums in
// place.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <mpi.h>

#include "parallel/comm/request.h"
#include "parallel/sharding.h"
#include "runtime/tensor.h"

namespace masformer {

// The group of an operation. Each operation has its own tag, the same on all ranks, so that several
// can be under way at once.
struct ShareGroup {
  MPI_Comm comm;
  int rank, size, tag;
};

class ReduceScatter;

// The reduce-scatters of one group. Each sends as soon as it is started. They receive one after
// another, in the order of their starts, because they share one working memory
// (reduce_scatter_memory()).
class ReduceScatters {
 public:
  // `x` must be contiguous, in host memory, and untouched until the request is done. All calls must
  // pass the same group, except for its tag.
  Request start(const ShareGroup& group, const Tensor& x);
  // In bytes; 0 before the first start().
  std::int64_t working_memory() const { return arrived_ ? std::ssize(*arrived_) : 0; }

 private:
  std::shared_ptr<std::vector<char>> arrived_;
  std::weak_ptr<ReduceScatter> last_;
};

// `x` as above. Writes only the other ranks' rows.
Request start_all_gather(const ShareGroup& group, const Tensor& x);

}  // namespace masformer
