// Failures on demand. MASFORMER_FAKE_NCCL_FAULT="hang launch 1 30" makes launch number 30 of world
// rank 1 hang until it is aborted. "fail" in place of "hang" makes its communicator report
// ncclRemoteError, too; "stall" makes the launch wait, in NCCL's own thread, for everything on the
// device. "connect" instead of "launch" makes a connection hang or fail. Launches and connections
// are counted from 0, over all communicators, since the variable was set.
#pragma once

#include <string_view>

namespace fake_cuda::nccl {

enum class Fault { none, hang, fail, stall };

// Counts a call of this kind, "connect" or "launch", and returns its fault.
Fault next_fault(std::string_view kind);

}  // namespace fake_cuda::nccl
