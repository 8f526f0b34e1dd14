// Prints what a run is doing if its start takes long.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace masformer {

class StartProgress {
 public:
  using Seconds = std::chrono::duration<double>;
  using Print = std::function<void(const std::string&)>;

  // Each phase that takes longer than `patience` is printed once. A thread of this object calls
  // `print`, which must not throw.
  explicit StartProgress(Print print, Seconds patience = Seconds(5));
  StartProgress(const StartProgress&) = delete;
  StartProgress& operator=(const StartProgress&) = delete;
  ~StartProgress() = default;  // waits for the thread

  // Ends the current phase, and begins the next one; `what` names it, as in "planning the run".
  void enter(std::string what);
  // Ends the current phase.
  void finish() { enter(""); }

 private:
  using Clock = std::chrono::steady_clock;
  void watch(const std::stop_token& stop);

  Print print_;
  Seconds patience_;
  std::mutex mutex_;  // guards the members below
  std::condition_variable_any entered_;
  std::string phase_;  // empty: no phase, or printed already
  Clock::time_point began_;
  std::jthread watcher_;  // last, because it uses the other members
};

}  // namespace masformer
