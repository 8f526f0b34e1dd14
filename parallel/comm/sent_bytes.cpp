#include "parallel/comm/sent_bytes.h"

#include "parallel/sharding.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The size of the rows that the rank owns.
std::int64_t own_bytes(const Tensor& x, int rank, int ranks) {
  const ShardRange own = shard_range(x.dim(0), ranks, rank);
  return x.slice(0, own.begin, own.count).bytes();
}

std::int64_t all_reduced_bytes(const Tensor& x, int rank, int ranks) {
  if (x.dtype() != DType::bf16) return 2 * (ranks - 1) * x.bytes() / ranks;
  const std::int64_t own = own_bytes(x.reshape({x.elements()}), rank, ranks);
  return x.bytes() - own + (ranks - 1) * own;
}

}  // namespace

std::int64_t counted_bytes(Operation kind, const Tensor& x, int rank, int ranks) {
  switch (kind) {
    case Operation::all_reduce:
      return all_reduced_bytes(x, rank, ranks);
    case Operation::reduce_scatter:
      return x.bytes() - own_bytes(x, rank, ranks);
    case Operation::all_gather:
      return (ranks - 1) * own_bytes(x, rank, ranks);
    case Operation::broadcast:
      return ranks > 1 ? x.bytes() : 0;
    case Operation::send:
      return x.bytes();
  }
  fail("unknown operation {}", static_cast<int>(kind));
}

}  // namespace masformer
