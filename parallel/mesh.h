// A layout as a value: the number of ranks along each axis, and the coordinate of each rank.
//
// Tensor ranks are innermost, because they communicate most and should share the fastest links;
// pipeline ranks are outermost:  rank = ((pipe * data + d) * context + c) * tensor + t.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

enum class Axis { pipe, data, context, tensor };

inline constexpr std::array all_axes{Axis::pipe, Axis::data, Axis::context, Axis::tensor};

std::string_view name_of(Axis axis);  // the name in options and metrics: "pipeline"

struct Coordinate {
  int pipe = 0, data = 0, context = 0, tensor = 0;

  int along(Axis axis) const;
  bool operator==(const Coordinate&) const = default;
};

struct Mesh {
  int pipe = 1, data = 1, context = 1, tensor = 1;

  int size() const { return pipe * data * context * tensor; }
  int extent(Axis axis) const;
  // Both throw Error for a rank or coordinate outside the mesh.
  Coordinate coordinate(int rank) const;
  int rank(const Coordinate& at) const;
  // `rank` and the ranks that differ from it only along `axis`, ordered by that coordinate.
  std::vector<int> group(int rank, Axis axis) const;
  // Replicas are the ranks that hold the same parameters: they differ only along the data and the
  // context axis. Their number, the index of one of them, and the replicas of `rank`,
  // ascending by index.
  int replicas() const { return data * context; }
  int replica(const Coordinate& at) const { return at.data * context + at.context; }
  std::vector<int> replica_group(int rank) const;

  std::string to_string() const;  // "pipeline 2 x data 1 x context 1 x tensor 2"
  bool operator==(const Mesh&) const = default;
};

}  // namespace masformer
