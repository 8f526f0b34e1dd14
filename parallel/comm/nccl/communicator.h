// Ranks whose tensors lie on CUDA devices, one rank a device, and travel by NCCL.
//
// Operations run on the device, on streams of their own, behind what the compute stream has been
// given before their start; nothing blocks the host but the first collectives of a group, which
// connect its ranks. NCCL sums in an order of its own, which depends on the machine, too; in bf16
// it rounds after each addition.
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
  // Which ranks send to which. Each link has a connection of its own, so that a send waits for
  // nothing but its own receiver, as the executor needs it.
  std::vector<Link> links{};
  // How many thread blocks an operation takes of the device at most, also while it waits for a
  // peer; 0: as many as NCCL likes.
  int max_ctas = 0;
  // How long an operation may be at work while the host waits, its peers' lateness included.
  std::chrono::seconds timeout{600};
};

// `inner` moves host tensors and connects the ranks; the stream outlives the communicator. Opens
// libmasformer_nccl.so (runtime/plugin.h). Collective. Throws UsageError where there is no NCCL,
// Error where it can't connect the ranks.
//
// A peer that fails is found out wherever this rank waits: at an event, and for the stream. All
// NCCL operations of the rank end then, and Error is thrown.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> inner,
                                                     const Stream& stream, const NcclGroup& group);

// Of the library that was found: 23004 for 2.30.4. Throws UsageError where there is none. From 2.30
// on several ranks may share a device, where NCCL_MULTI_RANK_GPU_ENABLE=1 says so.
int nccl_version();

}  // namespace masformer
