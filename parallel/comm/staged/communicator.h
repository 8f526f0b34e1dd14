// Ranks whose tensors lie on devices and travel by way of pinned host memory, through MPI. Several
// ranks may share one device. Nothing overlaps: collectives are done when they have been started,
// and a send has left the device.
#pragma once

#include <cstdint>
#include <memory>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// `inner` moves host tensors. The stream is the rank's only one, and outlives the communicator.
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> inner,
                                                       const Stream& stream);

// What working_memory() of a group of `ranks` comes to beside that of the inner communicator, once
// there were collectives, in bytes of host memory. A message takes its own size, from its start
// until its event ends; what messages took is kept for others of the same size.
std::int64_t staging_memory(int ranks);

}  // namespace masformer
