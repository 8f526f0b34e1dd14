// Says what the start of a run is doing when that takes long.
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

  // Ends the phase before, and begins the one that `what` names, as in "planning the run".
  void enter(std::string what);
  // Ends the last phase.
  void finish() { enter(""); }

 private:
  using Clock = std::chrono::steady_clock;
  void watch(const std::stop_token& stop);

  Print print_;
  Seconds patience_;
  std::mutex mutex_;  // of what follows
  std::condition_variable_any entered_;
  std::string phase_;  // empty: none, or printed already
  Clock::time_point began_;
  std::jthread watcher_;  // uses all of the above
};

}  // namespace masformer
