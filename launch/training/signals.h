// The signals by which a person or a cluster asks a run to stop.
//
// They are blocked, and polled between steps; there is no signal handler. With a handler, 2 of 5
// stopped runs died of a corrupted heap inside a oneDNN product; without it, none of 6. The cause
// is unknown.
#pragma once

#include <csignal>
#include <thread>

namespace masformer {

// SIGUSR1 (which mpirun forwards to its ranks), SIGUSR2, SIGTERM, SIGINT, SIGHUP and SIGXCPU.
// Without SIGINT and SIGHUP if they are ignored, as they are under nohup and in background jobs.
sigset_t stop_signals();

// Blocks the stop signals in this thread and in all threads that it starts. Call it before there
// are other threads.
void hold_stop_signals();
// Whether one of them has arrived. Once true, it stays true.
bool stop_requested();

// While an object exists, a stop signal ends this process within 0.1 s with ExitCode::interrupted.
// For the time before the first step, when there is nothing to save and a phase may take minutes.
class StopBeforeFirstStep {
 public:
  StopBeforeFirstStep();
  ~StopBeforeFirstStep() = default;  // waits for the watcher
  StopBeforeFirstStep(const StopBeforeFirstStep&) = delete;
  StopBeforeFirstStep& operator=(const StopBeforeFirstStep&) = delete;

 private:
  std::jthread watcher_;
};

}  // namespace masformer
