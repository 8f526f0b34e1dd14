#include "parallel/communicators.h"

#include <utility>
#include <vector>

#include "parallel/mpi_communicator.h"
#include "parallel/nccl_communicator.h"
#include "parallel/self_communicator.h"
#include "parallel/staged_communicator.h"
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
  int most_blocks = 0;
  if (name == "world") most_blocks = 1;             // for single numbers
  if (messages || name == "ends") most_blocks = 8;  // a send keeps them until its receiver comes
  group = make_nccl_communicator(std::move(group), *devices.stream,
                                 {.name = std::string(name),
                                  .collectives = !messages,
                                  .messages = messages,
                                  .most_blocks = most_blocks,
                                  .patience = devices.patience});
}

}  // namespace

Communicator& Communicators::along(Axis axis) const {
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

std::int64_t Communicators::working_memory() const {
  std::int64_t bytes = 0;
  for (const auto* const group : {&world, &tensor, &context, &data, &pipe, &ends}) {
    bytes += (*group)->working_memory();
  }
  return bytes;
}

Communicators make_communicators(std::unique_ptr<Communicator> world, const Mesh& mesh,
                                 const DeviceTransport& devices) {
  require(world->size() == mesh.size(), "the mesh {} is for {} ranks, and the job has {}",
          mesh.to_string(), mesh.size(), world->size());
  const int rank = world->rank();
  // Every rank makes its groups in this order, so no two groups wait for each other in a circle.
  const auto group = [&](Axis axis) {
    return make_group(*world, mesh.group(rank, axis), static_cast<int>(axis));
  };
  Communicators made;
  made.at = mesh.coordinate(rank);
  made.tensor = group(Axis::tensor);
  made.context = group(Axis::context);
  made.data = group(Axis::data);
  made.pipe = group(Axis::pipe);
  const int ends_tag = 1 + static_cast<int>(Axis::tensor);
  made.ends = make_group(*world, first_and_last(mesh.group(rank, Axis::pipe), rank), ends_tag);
  made.world = std::move(world);
  if (devices.stream == nullptr || devices.stream->device() == Device::cpu) return made;
  made.staged = devices.transport == Transport::mpi;
  equip(made.tensor, name_of(Axis::tensor), devices);
  equip(made.context, name_of(Axis::context), devices);
  equip(made.data, name_of(Axis::data), devices);
  equip(made.pipe, name_of(Axis::pipe), devices);
  equip(made.ends, "ends", devices);
  equip(made.world, "world", devices);
  return made;
}

}  // namespace masformer
