// The specifications of all ranks' stages on a mesh; no rank is started.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/stage.h"

namespace masformer::test {

struct RankedStage {
  Coordinate at;
  StageSpec spec;
};

inline std::vector<RankedStage> stages_of(const ModelConfig& config, const Mesh& mesh) {
  const Partition partition = even_partition(config.layers(), mesh.pipe);
  std::vector<RankedStage> all;
  for (int rank = 0; rank < mesh.size(); ++rank) {
    const Coordinate at = mesh.coordinate(rank);
    all.push_back({at, StageSpec(config, mesh, at, partition, {.shape = {1, 8}})});
  }
  return all;
}

// Calls visit(index in the global tensor, index in the stored matrix) for each element that the
// rank holds; both row-major.
template <class Visit>
void for_each_held(const ParameterSpec& stored, const LogicalTensor& tensor, const Visit& visit) {
  const bool matrix = tensor.global_shape.size() == 2;
  const std::int64_t columns = matrix ? tensor.slab.shape[1] : 1;
  const std::int64_t global_columns = matrix ? tensor.global_shape[1] : 1;
  const std::int64_t stored_columns = stored.shape.dims() == 2 ? stored.shape[1] : 1;
  for (std::int64_t row = 0; row < tensor.slab.shape[0]; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const std::int64_t global_column = column + (matrix ? tensor.slab.offset[1] : 0);
      visit(
          static_cast<std::size_t>((tensor.slab.offset[0] + row) * global_columns + global_column),
          static_cast<std::size_t>((tensor.first_row + row) * stored_columns + column));
    }
  }
}

// Meshes that split a model of at least five blocks and four heads along every axis.
inline std::vector<Mesh> all_kinds_of_meshes() {
  return {{},
          {.pipe = 2},
          {.pipe = 5},
          {.data = 3},
          {.tensor = 2},
          {.tensor = 4},
          {.pipe = 3, .data = 2},
          {.pipe = 2, .data = 3},
          {.data = 40},  // more ranks than some tensors have rows
          {.pipe = 2, .tensor = 2},
          {.data = 2, .tensor = 4},
          {.pipe = 2, .data = 2, .tensor = 2}};
}

}  // namespace masformer::test
