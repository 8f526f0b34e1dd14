// The groups that one rank of a mesh belongs to: all ranks, one group for each axis, and the two
// stages that share a tied embedding.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/link.h"
#include "parallel/mesh.h"
#include "parallel/recorder.h"
#include "runtime/enum_names.h"
#include "runtime/stream.h"

namespace masformer {

// How tensors on devices travel: value, name, whether they pass through host memory, and what the
// start of a run prints. By NCCL (comm/nccl), or by MPI (comm/staged).
#define MASFORMER_TRANSPORTS(TRANSPORT)  \
  TRANSPORT(nccl, "nccl", false, "NCCL") \
  TRANSPORT(mpi, "mpi", true, "through the host, by MPI")
MASFORMER_NAMED_ENUM(Transport, MASFORMER_TRANSPORTS);

bool is_staged(Transport transport);
std::string_view description_of(Transport transport);

// How tensors on devices travel. Host tensors and the control plane always go by MPI.
struct DeviceTransport {
  // The rank's compute stream, which must outlive the groups. Null or a CPU stream: no device.
  const Stream* stream = nullptr;
  Transport transport = Transport::mpi;
  std::chrono::seconds timeout{600};  // as in NcclGroup
};

struct ProcessGroups {
  Coordinate at;                       // this rank's
  std::optional<Transport> transport;  // of tensors on devices; none for CPU ranks
  std::unique_ptr<Communicator> world;
  std::unique_ptr<Communicator> tensor;
  std::unique_ptr<Communicator> context;
  // The ranks that hold the same parameters (Mesh::replica_group): those of the data and the
  // context axis together. They share the optimizer's state and sum their gradients.
  std::unique_ptr<Communicator> replicas;
  std::unique_ptr<Communicator> pipe;
  // The first and the last stage of this rank's pipeline, which share a tied embedding. A group of
  // one rank on the other stages, or if there is only one stage.
  std::unique_ptr<Communicator> embedding;

  // Whether tensors on devices travel through host memory.
  bool staged() const { return transport && is_staged(*transport); }
  // The group whose traffic counts for an axis; for the data axis the replicas.
  Communicator& along(Axis axis) const;
  // From now on adds the operations of all groups of several ranks to `recorder`, which outlives
  // them. References to the groups' communicators become invalid.
  void record(Recorder& recorder);
  // The sum over all these groups, in bytes.
  std::int64_t working_memory() const;
};

// Collective over all ranks of `world`. Throws Error if the mesh has another number of ranks. The
// table `group_uses` in the source says which groups have collectives and which have messages of
// device tensors. Messages go along the pipe axis, over `pipe_links`, and along the context axis,
// between all ranks.
ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices,
                                  const std::vector<Link>& pipe_links);
// The same with the stages linked in a ring.
ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices = {});

}  // namespace masformer
