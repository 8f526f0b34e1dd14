#include "parallel/comm/nccl/live_connections.h"

#include "parallel/comm/nccl/connection.h"

namespace masformer::nccl {

void LiveConnections::check() {
  for (NcclConnection* const each : all_) each->check();
}

// In a group all are told to stop before the first one's memory is given back.
void LiveConnections::abort_all() noexcept {
  ncclGroupStart();
  for (NcclConnection* const each : all_) each->abort();
  ncclGroupEnd();
}

}  // namespace masformer::nccl
