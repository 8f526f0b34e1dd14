#include "parallel/sharding.h"

#include <algorithm>

#include "runtime/error.h"

namespace masformer {

std::int64_t Hyperslab::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

Hyperslab whole(const std::vector<std::int64_t>& shape) {
  return {std::vector<std::int64_t>(shape.size(), 0), shape};
}

std::optional<Hyperslab> intersect(const Hyperslab& a, const Hyperslab& b) {
  require(a.offset.size() == b.offset.size(),
          "boxes of {} and {} dimensions are not in the same tensor", a.offset.size(),
          b.offset.size());
  Hyperslab shared;
  for (std::size_t dim = 0; dim < a.offset.size(); ++dim) {
    const std::int64_t begin = std::max(a.offset[dim], b.offset[dim]);
    const std::int64_t end = std::min(a.offset[dim] + a.shape[dim], b.offset[dim] + b.shape[dim]);
    if (begin >= end) return std::nullopt;
    shared.offset.push_back(begin);
    shared.shape.push_back(end - begin);
  }
  return shared;
}

ShardRange equal_shard_range(std::int64_t extent, int shards, int index) {
  require(shards >= 1 && index >= 0 && index < shards, "there is no shard {} of {}", index, shards);
  require(extent % shards == 0, "{} can't be split into {} equal parts", extent, shards);
  const std::int64_t count = extent / shards;
  return {index * count, count};
}

ShardRange shard_range(std::int64_t extent, int shards, int index) {
  require(extent >= 0 && shards >= 1 && index >= 0 && index < shards, "{} has no shard {} of {}",
          extent, index, shards);
  const auto begin = [&](std::int64_t i) {
    return extent / shards * i + extent % shards * i / shards;
  };
  return {begin(index), begin(index + 1) - begin(index)};
}

}  // namespace masformer
