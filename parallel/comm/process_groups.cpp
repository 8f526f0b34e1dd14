#include "parallel/comm/process_groups.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/nccl/communicator.h"
#include "parallel/comm/recording_communicator.h"
#include "parallel/comm/self_communicator.h"
#include "parallel/comm/staged/communicator.h"
#include "runtime/error.h"

namespace masformer {
namespace {

std::unique_ptr<Communicator> make_group(const Communicator& world, const std::vector<int>& members,
                                         int tag) {
  if (members.size() == 1) return std::make_unique<SelfCommunicator>();
  return make_mpi_group(world, members, tag);
}

std::vector<int> first_and_last(const std::vector<int>& stages, int rank) {
  if (rank != stages.front() && rank != stages.back()) return {rank};
  if (stages.size() == 1) return {rank};
  return {stages.front(), stages.back()};
}

// What each group does with tensors on devices. Sends may use only a few of the device's blocks,
// since they occupy them until the receiver is ready; sums of single numbers over the world need no
// more.
struct GroupUse {
  const char* name;
  std::unique_ptr<Communicator> ProcessGroups::*group;
  bool collectives;
  bool messages;
  int max_ctas;  // 0: NCCL chooses
};

constexpr std::array group_uses{
    GroupUse{"tensor", &ProcessGroups::tensor, true, false, 0},
    GroupUse{"context", &ProcessGroups::context, false, true, 8},
    GroupUse{"data", &ProcessGroups::replicas, true, false, 0},
    GroupUse{"pipeline", &ProcessGroups::pipe, false, true, 8},
    GroupUse{"embedding", &ProcessGroups::embedding, true, false, 8},
    GroupUse{"world", &ProcessGroups::world, true, false, 1},
};

// The same group, which moves tensors on devices, too. Collective over the group.
std::unique_ptr<Communicator> with_device_transport(std::unique_ptr<Communicator> group,
                                                    const GroupUse& use, std::vector<Link> links,
                                                    const DeviceTransport& devices) {
  const Stream& stream = *devices.stream;
  if (group->size() == 1) return make_staged_communicator(std::move(group), stream);
  switch (devices.transport) {
    case Transport::mpi:
      return make_staged_communicator(std::move(group), stream);
    case Transport::nccl:
      return make_nccl_communicator(std::move(group), stream,
                                    {.name = use.name,
                                     .collectives = use.collectives,
                                     .links = std::move(links),
                                     .max_ctas = use.max_ctas,
                                     .timeout = devices.timeout});
  }
  fail("unknown transport {}", static_cast<int>(devices.transport));
}

struct TransportRow {
  Transport transport;
  bool staged;
  std::string_view description;
};

#define MASFORMER_TRANSPORT_ROW(value, name, staged, description) \
  {Transport::value, staged, description},
constexpr TransportRow transports[] = {MASFORMER_TRANSPORTS(MASFORMER_TRANSPORT_ROW)};
#undef MASFORMER_TRANSPORT_ROW

}  // namespace

bool is_staged(Transport transport) {
  return std::ranges::find(transports, transport, &TransportRow::transport)->staged;
}

std::string_view description_of(Transport transport) {
  return std::ranges::find(transports, transport, &TransportRow::transport)->description;
}

Communicator& ProcessGroups::along(Axis axis) const {
  switch (axis) {
    case Axis::pipe:
      return *pipe;
    case Axis::data:
      return *replicas;
    case Axis::context:
      return *context;
    case Axis::tensor:
      return *tensor;
  }
  fail("unknown axis {}", static_cast<int>(axis));
}

void ProcessGroups::record(Recorder& recorder) {
  for (const GroupUse& use : group_uses) {
    std::unique_ptr<Communicator>& own = this->*use.group;
    if (own->size() > 1) own = with_recorder(std::move(own), use.name, recorder);
  }
}

std::int64_t ProcessGroups::working_memory() const {
  std::int64_t bytes = 0;
  for (const GroupUse& use : group_uses) bytes += (this->*use.group)->working_memory();
  return bytes;
}

ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices) {
  return make_process_groups(std::move(world), mesh, devices, ring_links(mesh.pipe));
}

ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices,
                                  const std::vector<Link>& pipe_links) {
  require(world->size() == mesh.size(), "the mesh {} needs {} ranks, but the job has {}",
          mesh.to_string(), mesh.size(), world->size());
  const int rank = world->rank();
  // Every rank makes its groups in this order, so no two groups wait for each other in a circle.
  const auto group = [&](Axis axis) {
    return make_group(*world, mesh.group(rank, axis), static_cast<int>(axis));
  };
  ProcessGroups made;
  made.at = mesh.coordinate(rank);
  made.tensor = group(Axis::tensor);
  made.context = group(Axis::context);
  made.replicas = make_group(*world, mesh.replica_group(rank), static_cast<int>(Axis::data));
  made.pipe = group(Axis::pipe);
  const int embedding_tag = 1 + static_cast<int>(Axis::tensor);
  made.embedding =
      make_group(*world, first_and_last(mesh.group(rank, Axis::pipe), rank), embedding_tag);
  made.world = std::move(world);
  if (devices.stream == nullptr || devices.stream->device() == Device::cpu) return made;
  made.transport = devices.transport;
  for (const GroupUse& use : group_uses) {
    std::unique_ptr<Communicator>& own = made.*use.group;
    const bool along_pipe = use.group == &ProcessGroups::pipe;
    std::vector<Link> links;
    if (use.messages) links = along_pipe ? pipe_links : all_links(own->size());
    own = with_device_transport(std::move(own), use, std::move(links), devices);
  }
  return made;
}

}  // namespace masformer
