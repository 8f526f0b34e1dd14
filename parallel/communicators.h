// The groups that one rank of a mesh belongs to, one for each axis.
#pragma once

#include <memory>

#include "parallel/communicator.h"
#include "parallel/mesh.h"

namespace masformer {

struct Communicators {
  Coordinate at;  // where this rank stands
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> tensor;
  std::unique_ptr<Communicator> context;
  std::unique_ptr<Communicator> data;
  std::unique_ptr<Communicator> pipe;
  // First and last stage at the same place of the other axes: they share a tied embedding. A group
  // of one on the other stages, and where there is one stage.
  std::unique_ptr<Communicator> ends;

  Communicator& along(Axis axis) const;
  // Of all these groups, in bytes.
  std::int64_t working_memory() const;
};

// Collective over all ranks of `world`. Throws Error where the mesh is not of the world's size.
Communicators make_communicators(std::unique_ptr<Communicator> world, const Mesh& mesh);

}  // namespace masformer
