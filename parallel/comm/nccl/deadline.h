// Finds the operation that is late when a rank waits for operations of several connections; private
// to this folder.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>

namespace masformer::nccl {

using Clock = std::chrono::steady_clock;

// The time by which an operation must have ended. Its time starts when the compute stream has
// reached the operation's start and the earlier operations of its connection have ended.
struct Deadline {
  Clock::time_point started;  // by the host
  Clock::duration timeout;
  bool reached = false;                   // whether the compute stream was seen to reach its start
  std::optional<Clock::time_point> at{};  // none until the operation is seen to begin
};

// `deadlines` are those of the first unfinished operation of each connection, which the host
// queried from `before` to `after`. Sets the deadlines of operations that have begun, and returns
// the one that has passed; null if there is none. If several have passed, returns that of the
// operation that was started first, since the others may wait for it.
//
// The compute stream reaches the operations in the order of their starts. Hence if it has reached
// one, it has reached those that were started before, even if their queries came too early to see
// it. All queries count as made at one time, so neither their order nor pauses of the process
// between them decide which operation is late.
inline Deadline* find_overdue(std::span<Deadline* const> deadlines, Clock::time_point before,
                              Clock::time_point after) {
  Clock::time_point last_reached = Clock::time_point::min();
  for (const Deadline* const each : deadlines) {
    if (each->reached) last_reached = std::max(last_reached, each->started);
  }
  Deadline* overdue = nullptr;
  for (Deadline* const each : deadlines) {
    if (each->started > last_reached) continue;
    if (!each->at) each->at = after + each->timeout;
    if (before <= *each->at) continue;
    if (overdue == nullptr || each->started < overdue->started) overdue = each;
  }
  return overdue;
}

}  // namespace masformer::nccl
