#include "parallel/comm/nccl/live_connections.h"

#include "parallel/comm/nccl/connection.h"

namespace masformer::nccl {

void LiveConnections::check() {
  const Clock::time_point before = Clock::now();
  std::vector<Deadline*> deadlines;
  std::vector<NcclConnection*> waiting;
  for (NcclConnection* const each : all_) {
    Deadline* const deadline = each->check();
    if (deadline == nullptr) continue;
    deadlines.push_back(deadline);
    waiting.push_back(each);
  }
  const Deadline* const overdue = find_overdue(deadlines, before, Clock::now());
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    if (deadlines[i] == overdue) waiting[i]->fail_overdue();
  }
}

// In an NCCL group, all connections stop before the memory of the first one is freed.
void LiveConnections::abort_all() noexcept {
  ncclGroupStart();
  for (NcclConnection* const each : all_) each->abort();
  ncclGroupEnd();
}

}  // namespace masformer::nccl
