#include "parallel/comm/process_groups.h"

#include <utility>
#include <vector>

#include "parallel/comm/mpi/communicator.h"
#include "parallel/comm/nccl/communicator.h"
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

// Has the group move tensors on devices, too. Collective over the group.
void equip(std::unique_ptr<Communicator>& group, std::string_view name,
           const DeviceTransport& devices) {
  if (group->size() == 1 || devices.transport == Transport::mpi) {
    group = make_staged_communicator(std::move(group), *devices.stream);
    return;
  }
  const bool messages = name == name_of(Axis::pipe);
  int max_ctas = 0;
  if (name == "world") max_ctas = 1;                  // for single numbers
  if (messages || name == "embedding") max_ctas = 8;  // a send keeps them until its receiver comes
  group = make_nccl_communicator(std::move(group), *devices.stream,
                                 {.name = std::string(name),
                                  .collectives = !messages,
                                  .messages = messages,
                                  .max_ctas = max_ctas,
                                  .timeout = devices.timeout});
}

}  // namespace

Communicator& ProcessGroups::along(Axis axis) const {
  switch (axis) {
    case Axis::pipe:
      return *pipe;
    case Axis::data:
      return *data;
    case Axis::context:
      return *context;
    case Axis::tensor:
      return *tensor;
  }
  fail("unknown axis {}", static_cast<int>(axis));
}

std::int64_t ProcessGroups::working_memory() const {
  std::int64_t bytes = 0;
  for (const auto* const group : {&world, &tensor, &context, &data, &pipe, &embedding}) {
    bytes += (*group)->working_memory();
  }
  return bytes;
}

ProcessGroups make_process_groups(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                  const DeviceTransport& devices) {
  require(world->size() == mesh.size(), "the mesh {} is for {} ranks, and the job has {}",
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
  made.data = group(Axis::data);
  made.pipe = group(Axis::pipe);
  const int ends_tag = 1 + static_cast<int>(Axis::tensor);
  made.embedding = make_group(*world, first_and_last(mesh.group(rank, Axis::pipe), rank), ends_tag);
  made.world = std::move(world);
  if (devices.stream == nullptr || devices.stream->device() == Device::cpu) return made;
  made.staged = devices.transport == Transport::mpi;
  equip(made.tensor, name_of(Axis::tensor), devices);
  equip(made.context, name_of(Axis::context), devices);
  equip(made.data, name_of(Axis::data), devices);
  equip(made.pipe, name_of(Axis::pipe), devices);
  equip(made.embedding, "embedding", devices);
  equip(made.world, "world", devices);
  return made;
}

}  // namespace masformer
