// Reduce-scatter and all-gather of a tensor's rows by messages between all pairs of ranks; private
// to the mpi_*.cpp files.
//
// Own algorithms, not MPI_Ireduce_scatter: sums are added in the order of ranks whatever the sizes,
// and land where their rows stand.
#pragma once

#include <mpi.h>

#include "parallel/event.h"
#include "parallel/sharding.h"
#include "runtime/tensor.h"

namespace masformer {

// Where an operation takes place. Its messages carry a tag of their own, the same on all ranks, so
// that several may be under way at once.
struct ShareGroup {
  MPI_Comm comm;
  int rank, size, tag;
};

// `x` is contiguous, in host memory, and untouched until the event is done. A reduce-scatter keeps
// a mebibyte for each rank meanwhile.
Event start_reduce_scatter(const ShareGroup& group, const Tensor& x);
Event start_all_gather(const ShareGroup& group, const Tensor& x);

}  // namespace masformer
