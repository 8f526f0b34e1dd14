// How far the clocks of a job's hosts are apart.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "parallel/comm/communicator.h"

namespace masformer {

// What to add to a time of `clock` (nanoseconds, from any start) on this rank's host for the time
// of rank 0's clock at the same moment. 0 on rank 0's host; the ranks of a host, which have the
// same `host` text, share a clock and get the same offset.
//
// The first rank of each other host exchanges messages with rank 0 and takes the fastest exchange:
// rank 0's clock is read between the two readings here, so the offset is off by at most half of
// that exchange, and by nothing if both ways take as long (Cristian, Probabilistic clock
// synchronization, 1989). Clocks drift afterwards, by some microseconds per second.
//
// Collective; takes some milliseconds for each host.
std::int64_t clock_offset(Communicator& world, const std::string& host,
                          const std::function<std::int64_t()>& clock);

}  // namespace masformer
