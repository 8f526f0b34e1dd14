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

// A tensor of `shape`, whole.
Hyperslab whole(const std::vector<std::int64_t>& shape);

// What two boxes of one tensor share; none where that is empty.
std::optional<Hyperslab> intersect(const Hyperslab& a, const Hyperslab& b);

// [begin, begin + count) of the rows or elements that ranks share.
struct ShardRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

// Requires shards to divide extent; throws Error.
ShardRange equal_shard_range(std::int64_t extent, int shards, int index);

// The parts of any extent that differ by one at most: what reduce_scatter() leaves to a rank.
ShardRange shard_range(std::int64_t extent, int shards, int index);

// `extent` rounded up to a multiple of `multiple`.
std::int64_t padded(std::int64_t extent, std::int64_t multiple);

}  // namespace masformer
