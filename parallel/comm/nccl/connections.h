// The connections of a group of ranks; private to this folder.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "parallel/comm/nccl/communicator.h"
#include "parallel/comm/nccl/connection.h"

namespace masformer::nccl {

struct NcclConnections {
  std::shared_ptr<NcclConnection> everyone;  // of collectives; null where there are none
  std::map<std::pair<int, int>, std::shared_ptr<NcclConnection>> links;  // from and to this rank
};

// Connects the ranks of `group`, which carries the ids, and has each connection run once:
// transports connect when they are first used, and wait for their peers then. Collective.
NcclConnections make_connections(Communicator& group, const Stream& stream,
                                 const NcclGroup& description);

}  // namespace masformer::nccl
