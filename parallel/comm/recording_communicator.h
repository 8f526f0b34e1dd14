// Adds a group's operations to the rank's recorder, whatever the transport.
#pragma once

#include <memory>
#include <string_view>

#include "parallel/comm/communicator.h"
#include "parallel/recorder.h"

namespace masformer {

// The same group. A record begins when an operation starts, and ends when whoever holds its request
// learns that it has ended: a message that arrived long ago may look late. `recorder` outlives the
// group.
std::unique_ptr<Communicator> with_recorder(std::unique_ptr<Communicator> group,
                                            std::string_view name, Recorder& recorder);

}  // namespace masformer
