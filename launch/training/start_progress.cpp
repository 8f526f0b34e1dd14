#include "launch/training/start_progress.h"

#include <utility>

#include <fmt/format.h>

namespace masformer {

StartProgress::StartProgress(Print print, Seconds patience)
    : print_(std::move(print)),
      patience_(patience),
      watcher_([this](const std::stop_token& stop) { watch(stop); }) {}

void StartProgress::enter(std::string what) {
  {
    const std::lock_guard lock(mutex_);
    phase_ = std::move(what);
    began_ = Clock::now();
  }
  entered_.notify_one();
}

void StartProgress::watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (phase_.empty()) {
      entered_.wait(lock, stop, [&] { return !phase_.empty(); });
      continue;
    }
    const Clock::time_point began = began_;
    const auto limit = began + std::chrono::duration_cast<Clock::duration>(patience_);
    const bool next = entered_.wait_until(lock, stop, limit, [&] { return began_ != began; });
    if (next || stop.stop_requested()) continue;
    print_(fmt::format("{} has taken more than {:.0f} s so far; a stop signal ends the run", phase_,
                       patience_.count()));
    phase_.clear();
  }
}

}  // namespace masformer
