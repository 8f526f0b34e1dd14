#include "parallel/mesh.h"

#include "runtime/error.h"

namespace masformer {
namespace {

// The member of Coordinate or Mesh that belongs to an axis.
template <class T>
auto& member(T& value, Axis axis) {
  switch (axis) {
    case Axis::pipe:
      return value.pipe;
    case Axis::data:
      return value.data;
    case Axis::context:
      return value.context;
    case Axis::tensor:
      return value.tensor;
  }
  fail("unknown axis {}", static_cast<int>(axis));
}

}  // namespace

std::string_view name_of(Axis axis) {
  static constexpr std::array names{"pipeline", "data", "context", "tensor"};
  return names[static_cast<std::size_t>(axis)];
}

int Coordinate::along(Axis axis) const {
  return member(*this, axis);
}

int Mesh::extent(Axis axis) const {
  return member(*this, axis);
}

Coordinate Mesh::coordinate(int rank) const {
  require(rank >= 0 && rank < size(), "rank {} is outside the mesh {}, which has ranks 0 to {}",
          rank, to_string(), size() - 1);
  Coordinate at;
  at.tensor = rank % tensor;
  rank /= tensor;
  at.context = rank % context;
  rank /= context;
  at.data = rank % data;
  at.pipe = rank / data;
  return at;
}

int Mesh::rank(const Coordinate& at) const {
  for (const Axis axis : all_axes) {
    require(at.along(axis) >= 0 && at.along(axis) < extent(axis),
            "pipeline {} data {} context {} tensor {} is outside the mesh {}", at.pipe, at.data,
            at.context, at.tensor, to_string());
  }
  return ((at.pipe * data + at.data) * context + at.context) * tensor + at.tensor;
}

std::vector<int> Mesh::group(int rank, Axis axis) const {
  Coordinate at = coordinate(rank);
  std::vector<int> ranks;
  for (int i = 0; i < extent(axis); ++i) {
    member(at, axis) = i;
    ranks.push_back(this->rank(at));
  }
  return ranks;
}

std::vector<int> Mesh::replica_group(int rank) const {
  Coordinate at = coordinate(rank);
  std::vector<int> ranks;
  for (at.data = 0; at.data < data; ++at.data) {
    for (at.context = 0; at.context < context; ++at.context) ranks.push_back(this->rank(at));
  }
  return ranks;
}

std::string Mesh::to_string() const {
  return fmt::format("pipeline {} x data {} x context {} x tensor {}", pipe, data, context, tensor);
}

}  // namespace masformer
