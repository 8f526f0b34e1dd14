#include "parallel/comm/nccl/connections.h"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "runtime/arena.h"

namespace masformer::nccl {
namespace {

// A planned connection between ranks of the group.
struct Plan {
  std::vector<int> members;  // first: makes the id; for a link: sender, receiver
  bool link;
};

// All ranks make the connections in the same order, so they never wait for each other in a circle.
// The links whose lower rank is even come first: in a ring, most of them share no rank, so they are
// made concurrently.
std::vector<Plan> plan_connections(int size, const NcclGroup& description) {
  std::vector<Plan> plans;
  for (const int parity : {0, 1}) {
    for (const Link& link : description.links) {
      if (std::min(link.from, link.to) % 2 == parity) plans.push_back({{link.from, link.to}, true});
    }
  }
  if (description.collectives) {
    Plan& everyone = plans.emplace_back();
    for (int rank = 0; rank < size; ++rank) everyone.members.push_back(rank);
  }
  return plans;
}

// Returns the ids of all planned connections, which their first members make.
std::vector<ncclUniqueId> exchange_ids(Communicator& group, const std::vector<Plan>& plans) {
  std::string made;
  for (const Plan& plan : plans) {
    if (plan.members.front() != group.rank()) continue;
    ncclUniqueId id;
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    made.append(id.internal, sizeof id.internal);
  }
  const std::vector<std::string> all = group.all_gather(made);
  std::vector<std::size_t> read(all.size());
  std::vector<ncclUniqueId> ids(plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const auto maker = static_cast<std::size_t>(plans[i].members.front());
    all[maker].copy(ids[i].internal, sizeof ids[i].internal, read[maker]);
    read[maker] += sizeof ids[i].internal;
  }
  return ids;
}

void run_once(NcclConnection& connection, const Plan& plan, int rank, float* number) {
  Request request = connection.start("first operation", [&](ncclComm_t comm, cudaStream_t stream) {
    if (!plan.link) {
      check(ncclAllReduce(number, number, 1, ncclFloat32, ncclSum, comm, stream), "ncclAllReduce");
    } else if (rank == plan.members.front()) {
      check(ncclSend(number, 1, ncclFloat32, 1, comm, stream), "ncclSend");
    } else {
      check(ncclRecv(number, 1, ncclFloat32, 0, comm, stream), "ncclRecv");
    }
  });
  while (!request.done()) std::this_thread::yield();
}

}  // namespace

NcclConnections make_connections(Communicator& group, const Stream& stream,
                                 const NcclGroup& description) {
  // NCCL connects everything now, so that the later check of free device memory includes it.
  setenv("NCCL_RUNTIME_CONNECT", "0", 0);
  // NVLink SHARP sums in the switches, in an order that may differ each time.
  if (stream.deterministic()) setenv("NCCL_NVLS_ENABLE", "0", 0);
  const std::vector<Plan> plans = plan_connections(group.size(), description);
  const std::vector<ncclUniqueId> ids = exchange_ids(group, plans);
  const std::string name = fmt::format("rank {} of the {} group", group.rank(), description.name);
  Arena arena(stream.device(), Arena::footprint({1}, DType::f32));
  float* const number = arena.take({1}, DType::f32).data<float>();
  NcclConnections connections;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::vector<int>& members = plans[i].members;
    const auto own = std::ranges::find(members, group.rank());
    if (own == members.end()) continue;
    const Place place{ids[i], static_cast<int>(members.size()),
                      static_cast<int>(own - members.begin())};
    const auto connection = std::make_shared<NcclConnection>(
        stream, place, name, description.max_ctas, description.timeout);
    run_once(*connection, plans[i], group.rank(), number);
    if (plans[i].link) {
      connections.links[{members[0], members[1]}] = connection;
    } else {
      connections.everyone = connection;
    }
  }
  return connections;
}

}  // namespace masformer::nccl
