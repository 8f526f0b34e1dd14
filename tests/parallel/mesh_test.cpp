#include "parallel/mesh.h"

#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr int max_ranks = 16;

std::vector<Mesh> all_meshes() {
  std::vector<Mesh> meshes;
  for (int p = 1; p <= max_ranks; ++p) {
    for (int d = 1; p * d <= max_ranks; ++d) {
      for (int c = 1; p * d * c <= max_ranks; ++c) {
        for (int t = 1; p * d * c * t <= max_ranks; ++t) meshes.push_back({p, d, c, t});
      }
    }
  }
  return meshes;
}

TEST(Mesh, MapsRanksToCoordinatesAndBack) {
  for (const Mesh& mesh : all_meshes()) {
    int rank = 0;
    for (int p = 0; p < mesh.pipe; ++p) {
      for (int d = 0; d < mesh.data; ++d) {
        for (int c = 0; c < mesh.context; ++c) {
          for (int t = 0; t < mesh.tensor; ++t, ++rank) {
            const Coordinate at{p, d, c, t};
            ASSERT_EQ(mesh.rank(at), rank) << mesh.to_string();
            ASSERT_EQ(mesh.coordinate(rank), at) << mesh.to_string();
          }
        }
      }
    }
    ASSERT_EQ(rank, mesh.size());
  }
}

// `at` with one of its axes set to 0: equal for two ranks exactly if they are in the same group of
// that axis.
Coordinate without(Coordinate at, Axis axis) {
  switch (axis) {
    case Axis::pipe:
      at.pipe = 0;
      break;
    case Axis::data:
      at.data = 0;
      break;
    case Axis::context:
      at.context = 0;
      break;
    case Axis::tensor:
      at.tensor = 0;
      break;
  }
  return at;
}

TEST(Mesh, GroupsTheRanksThatDifferAlongOneAxis) {
  for (const Mesh& mesh : all_meshes()) {
    for (const Axis axis : all_axes) {
      for (int rank = 0; rank < mesh.size(); ++rank) {
        std::vector<int> expected;  // in order, because ranks grow along every axis
        for (int other = 0; other < mesh.size(); ++other) {
          if (without(mesh.coordinate(other), axis) == without(mesh.coordinate(rank), axis)) {
            expected.push_back(other);
          }
        }
        const std::vector<int> group = mesh.group(rank, axis);
        ASSERT_EQ(group, expected) << mesh.to_string() << " rank " << rank;
        const auto place = static_cast<std::size_t>(mesh.coordinate(rank).along(axis));
        ASSERT_EQ(group[place], rank) << "a rank is at its own coordinate";
      }
    }
  }
}

TEST(Mesh, ListsTheReplicasInOrder) {
  for (const Mesh& mesh : all_meshes()) {
    for (int rank = 0; rank < mesh.size(); ++rank) {
      const Coordinate at = mesh.coordinate(rank);
      std::vector<int> expected;
      for (int other = 0; other < mesh.size(); ++other) {
        const Coordinate there = mesh.coordinate(other);
        if (there.pipe == at.pipe && there.tensor == at.tensor) expected.push_back(other);
      }
      const std::vector<int> group = mesh.replica_group(rank);
      ASSERT_EQ(group, expected) << mesh.to_string() << " rank " << rank;
      ASSERT_EQ(std::ssize(group), mesh.replicas());
      ASSERT_EQ(group[static_cast<std::size_t>(mesh.replica(at))], rank);
    }
  }
}

TEST(Mesh, RefusesRanksAndCoordinatesOutside) {
  const Mesh mesh{2, 1, 1, 3};
  for (const int rank : {-1, 6}) EXPECT_THROW(mesh.coordinate(rank), Error);
  EXPECT_THROW(mesh.group(6, Axis::pipe), Error);
  for (const Coordinate& at : {Coordinate{2, 0, 0, 0}, Coordinate{0, 1, 0, 0},
                               Coordinate{0, 0, -1, 0}, Coordinate{0, 0, 0, 3}}) {
    EXPECT_THROW(mesh.rank(at), Error);
  }
  EXPECT_EQ(mesh.to_string(), "pipeline 2 x data 1 x context 1 x tensor 3");
}

}  // namespace
}  // namespace masformer
