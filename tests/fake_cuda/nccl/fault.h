// Failures on demand: MASFORMER_NCCL_DOUBLE_FAULT="hang launch 1 30" has the process of world rank
// 1 never finish its launch number 30, until it is aborted; "fail" has its communicator report
// ncclRemoteError besides; "stall" has the launch wait in NCCL's own thread for all that is on the
// device. "connect" in the place of "launch": the first two of its communicators' beginning. They
// are counted from 0, over all communicators, since the variable was set.
#pragma once

#include <string_view>

namespace fake_cuda::nccl {

enum class Fault { none, hang, fail, stall };

// What becomes of the next event of this kind, "connect" or "launch".
Fault next_fault(std::string_view event);

}  // namespace fake_cuda::nccl
