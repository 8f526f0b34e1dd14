// The channels of a group of ranks; private to the nccl_*.cpp files.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "parallel/nccl_channel.h"
#include "parallel/nccl_communicator.h"

namespace masformer::nccl {

struct Channels {
  std::shared_ptr<Channel> everyone;  // of collectives; null where there are none
  std::map<std::pair<int, int>, std::shared_ptr<Channel>> links;  // from and to this rank
};

// Connects the ranks of `group`, which carries the ids, and has each channel run once: transports
// connect when they are first used, and wait for their peers then. Collective.
Channels make_channels(Communicator& group, const Stream& stream, const NcclGroup& description);

}  // namespace masformer::nccl
