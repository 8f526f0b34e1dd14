// The groups that one rank of a mesh belongs to, one for each axis.
#pragma once

#include <chrono>
#include <memory>

#include "parallel/comm/communicator.h"
#include "parallel/mesh.h"
#include "runtime/stream.h"

namespace masformer {

enum class Transport {
  mpi,   // through host memory (staged_communicator.h)
  nccl,  // one rank a device (nccl_communicator.h)
};

// How tensors on devices travel. Host tensors and the control plane always go by MPI.
struct DeviceTransport {
  const Stream* stream = nullptr;  // the rank's; outlives the groups. None or the CPU's: no devices
  Transport transport = Transport::mpi;
  std::chrono::seconds timeout{600};  // as NcclGroup's
};

struct ProcessGroups {
  Coordinate at;        // where this rank stands
  bool staged = false;  // whether tensors on devices travel through host memory
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> tensor;
  std::unique_ptr<Communicator> context;
  std::unique_ptr<Communicator> data;
  std::unique_ptr<Communicator> pipe;
  // First and last stage at the same place of the other axes: they share a tied embedding. A group
  // of one on the other stages, and where there is one stage.
  std::unique_ptr<Communicator> embedding;

  Communicator& along(Axis axis) const;
  // Of all these groups, in bytes.
  std::int64_t working_memory() const;
};

// Collective over all ranks of `world`. Throws Error where the mesh is not of the world's size. By
// NCCL, messages go along the pipe axis alone, between neighbours in its ring, and collectives
// along the others.
ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices = {});

}  // namespace masformer
