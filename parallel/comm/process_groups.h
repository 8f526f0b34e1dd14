// The groups that one rank of a mesh belongs to: all ranks, one group for each axis, and the two
// stages that share a tied embedding.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/link.h"
#include "parallel/mesh.h"
#include "runtime/enum_names.h"
#include "runtime/stream.h"

namespace masformer {

// How tensors on devices travel: by NCCL (comm/nccl), or through host memory by MPI (comm/staged).
#define MASFORMER_TRANSPORTS(TRANSPORT) TRANSPORT(nccl, "nccl") TRANSPORT(mpi, "mpi")
MASFORMER_NAMED_ENUM(Transport, MASFORMER_TRANSPORTS);
#undef MASFORMER_TRANSPORTS

// How tensors on devices travel. Host tensors and the control plane always go by MPI.
struct DeviceTransport {
  const Stream* stream = nullptr;  // the rank's; outlives the groups. None or the CPU's: no devices
  Transport transport = Transport::mpi;
  std::chrono::seconds timeout{600};  // as NcclGroup's
};

struct ProcessGroups {
  Coordinate at;        // of this rank
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

// Collective over all ranks of `world`. Throws Error where the mesh is not of the world's size.
// Which groups get collectives and which messages of device tensors is one table in the source:
// messages go along the pipe axis, by `pipe_links`, and along the context axis, between all ranks.
ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices,
                                  const std::vector<Link>& pipe_links);
// Where stages are linked in a ring.
ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices = {});

}  // namespace masformer
