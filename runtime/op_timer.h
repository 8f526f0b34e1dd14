// The program's one timer. It records for each call on a stream (an op, or a wait for other ranks)
// how long it took, and where in the model it was made. The CPU is timed by the clock, other
// devices by events that are read afterwards, so the stream does not wait while it is timed.
//
// A stream without a timer pays for one test of a pointer per call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/device_event.h"
#include "runtime/wait_timer.h"

namespace masformer {

enum class CallKind : std::uint8_t {
  op,
  wait,  // a wait for other ranks
};

// Where in the model a call is made. The names are for output; empty outside layers.
struct CallSite {
  std::string layer;  // its kind, such as "attention window:256"
  std::string pass;   // such as "backward_input"

  bool operator==(const CallSite&) const = default;
};

struct TimedCall {
  std::string_view name;
  CallKind kind = CallKind::op;
  CallSite site;
  double flops = 0;  // 0 if they are not counted
  double seconds = 0;
};

class OpTimer {
 public:
  // Times the calls on `stream` from now on. The stream outlives the timer and must have no other
  // timer.
  explicit OpTimer(Stream& stream);
  ~OpTimer();
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

  // Sets the site of the calls that follow.
  void set_site(CallSite site) { site_ = std::move(site); }
  // Begins a call. Calls within it count as part of it. `name` outlives the timer.
  void begin_call(std::string_view name, CallKind kind, double flops);
  void end_call();
  // Ends the timing and detaches the timer from the stream.
  void finish();

  // The time from the start to finish(), and the calls in their order. Both wait for the stream.
  double seconds() const { return end_.seconds_since(begin_); }
  std::vector<TimedCall> calls() const;

 private:
  struct Call {
    std::string_view name;
    CallKind kind;
    CallSite site;
    double flops;
    DeviceEvent begin, end;
  };

  Stream* stream_;
  CallSite site_;
  int depth_ = 0;  // nesting depth of the current call
  std::vector<Call> calls_;
  DeviceEvent begin_, end_;
};

// Runs `wait`, which waits for other ranks, for the timers that the stream has. If it throws, the
// timers are of no more use.
template <class Wait>
void time_wait(const Stream& stream, std::string_view name, Wait wait) {
  OpTimer* const timer = stream.timer();
  WaitTimer* const waits = stream.wait_timer();
  if (timer != nullptr) timer->begin_call(name, CallKind::wait, 0);
  if (waits != nullptr) waits->begin_wait();
  wait();
  if (waits != nullptr) waits->end_wait();
  if (timer != nullptr) timer->end_call();
}

}  // namespace masformer
