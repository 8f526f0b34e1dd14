#include "parallel/nccl_live_channels.h"

#include "parallel/nccl_channel.h"

namespace masformer::nccl {

void LiveChannels::check() {
  for (Channel* const each : all_) each->check();
}

// In a group all are told to stop before the first one's memory is given back.
void LiveChannels::give_up() noexcept {
  ncclGroupStart();
  for (Channel* const each : all_) each->abort();
  ncclGroupEnd();
}

}  // namespace masformer::nccl
