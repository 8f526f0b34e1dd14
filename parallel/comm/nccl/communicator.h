// Moves tensors on CUDA devices by NCCL, with one rank per device.
//
// Operations run on the device, on their own streams, after the work that was issued to the compute
// stream before their start. They do not block the host, except the first ones of a group, which
// connect its ranks. The order of NCCL's sums depends on the machine; in bf16, NCCL rounds after
// each addition.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/link.h"
#include "runtime/stream.h"

namespace masformer {

struct NcclGroup {
  std::string name;  // for error messages: "tensor"
  bool collectives = true;
  // Which ranks send to which. Each link has its own connection, so that a send waits only for its
  // receiver, as the executor requires.
  std::vector<Link> links{};
  // The most thread blocks that an operation occupies on the device, even while it waits for a
  // peer; 0 leaves the number to NCCL.
  int max_ctas = 0;
  // How long an operation may take while the host waits. Includes waiting for late peers.
  std::chrono::seconds timeout{600};
};

// `inner` moves host tensors and connects the ranks; the stream must outlive the communicator.
// Opens libmasformer_nccl.so (runtime/plugin.h). Collective. Throws UsageError if NCCL is not
// installed, Error if it cannot connect the ranks.
//
// This rank notices a failed peer whenever it waits for a request or for the stream. It then aborts
// all of its NCCL operations and throws Error.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> inner,
                                                     const Stream& stream, const NcclGroup& group);

// The version of the installed NCCL; 23004 is 2.30.4. Throws UsageError if NCCL is not installed.
// Since 2.30, several ranks may share a device if NCCL_MULTI_RANK_GPU_ENABLE is 1.
int nccl_version();

}  // namespace masformer
