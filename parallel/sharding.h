// Parts of named global tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace masformer {

// A box in a tensor: shape[i] elements from offset[i] along each dimension.
struct Hyperslab {
  std::vector<std::int64_t> offset;
  std::vector<std::int64_t> shape;

  std::int64_t elements() const;
  bool operator==(const Hyperslab&) const = default;
};

// All of a tensor of `shape`.
Hyperslab whole(const std::vector<std::int64_t>& shape);

// The intersection of two boxes of one tensor; none if it is empty.
std::optional<Hyperslab> intersect(const Hyperslab& a, const Hyperslab& b);

// The rows or elements [begin, begin + count) of one shard.
struct ShardRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// One of equal shards. Throws Error unless `shards` divides `extent`.
ShardRange equal_shard_range(std::int64_t extent, int shards, int index);

// The same for any extent: the sizes of the shards differ by at most one. Communicator::
// reduce_scatter() divides rows this way.
ShardRange shard_range(std::int64_t extent, int shards, int index);

}  // namespace masformer
