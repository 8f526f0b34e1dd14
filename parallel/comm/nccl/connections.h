// The connections of a group of ranks; private to this folder.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "parallel/comm/nccl/communicator.h"
#include "parallel/comm/nccl/connection.h"

namespace masformer::nccl {

struct NcclConnections {
  std::shared_ptr<NcclConnection> everyone;  // for collectives; null if the group has none
  std::map<std::pair<int, int>, std::shared_ptr<NcclConnection>> links;  // from and to this rank
};

// Collective. Connects the ranks of `group`, which also carries the connections' ids, and runs one
// operation on each connection, because NCCL's transports connect when they are first used and then
// wait for their peers.
NcclConnections make_connections(Communicator& group, const Stream& stream,
                                 const NcclGroup& description);

}  // namespace masformer::nccl
