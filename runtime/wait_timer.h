// How long a stream waits for other ranks, and how long it works: the two times that tell a slow
// rank from those that wait for it. Unlike the OpTimer, it costs two events per wait and none per
// op.
#pragma once

#include <utility>
#include <vector>

#include "runtime/device_event.h"

namespace masformer {

// A stretch of a stream's work, with the waits in it. Empty if nothing was timed.
class TimedWaits {
 public:
  // The time without the waits. Waits for the stream. 0 if nothing was timed.
  double busy_seconds() const;

 private:
  friend class WaitTimer;
  struct Stretch {
    DeviceEvent begin, end;
  };
  std::vector<Stretch> all_;  // one, or none
  std::vector<Stretch> waits_;
};

class WaitTimer {
 public:
  // Times the waits on `stream` from now on, as time_wait() (op_timer.h) tells them. The stream
  // outlives the timer and must have no other one.
  explicit WaitTimer(Stream& stream);
  ~WaitTimer();
  WaitTimer(const WaitTimer&) = delete;
  WaitTimer& operator=(const WaitTimer&) = delete;

  void begin_wait();  // a wait within a wait is part of it
  void end_wait();
  // Ends the timing. Call it once.
  TimedWaits finish();

 private:
  Stream* stream_;
  int depth_ = 0;
  TimedWaits timed_;
};

}  // namespace masformer
