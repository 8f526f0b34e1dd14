// The signals that ask a run to stop: those that a person or a cluster sends as notice.
//
// They are blocked, and polled between steps; there is no signal handler. With one, 2 of 5 stopped
// runs died of a corrupted heap inside a oneDNN product; without, none of 6. The cause is unknown.
#pragma once

#include <csignal>
#include <thread>

namespace masformer {

// SIGUSR1 (which mpirun forwards to its ranks), SIGUSR2, SIGTERM, SIGINT, SIGHUP and SIGXCPU.
// SIGINT and SIGHUP are left out if they are ignored, as nohup and background shells arrange.
sigset_t stop_signals();

// Blocks the stop signals in this thread and in all threads that it starts. Call it before there
// are other threads.
void hold_stop_signals();
// Whether one of them has arrived. Once true, it stays true.
bool stop_requested();

// While it exists, a stop signal ends this process within 0.1 s with ExitCode::interrupted. It is
// for the time before the first step, when there is nothing to save and a phase may take minutes.
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
