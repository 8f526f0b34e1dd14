// Moves tensors on devices through pinned host memory and MPI. Several ranks may share one device.
// Nothing overlaps with computation: a collective is done when its call returns, and the tensor of
// a send has been copied from the device by then.
#pragma once

#include <cstdint>
#include <memory>

#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// `inner` moves host tensors. The stream is the rank's only one, and must outlive the communicator.
std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> inner,
                                                       const Stream& stream);

// The host memory, in bytes, of the collectives of a group of `ranks`, in addition to that of the
// inner communicator.
std::int64_t staging_memory(int ranks);

// The host memory of a message of `bytes`, which it uses from its start until its request is done:
// a power of two. Later messages that need as much reuse it. So messages of any sizes, as documents
// make them, take memory of a few sizes.
std::int64_t staged_message_memory(std::int64_t bytes);

}  // namespace masformer
