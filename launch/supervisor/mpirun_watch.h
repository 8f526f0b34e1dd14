// Supervises mpirun for `masformer run`: relays its output, passes stop signals on, and turns its
// end into an exit status.
#pragma once

#include <sys/types.h>

#include "runtime/error.h"

namespace masformer {

struct StartedMpirun {
  pid_t process = 0;               // a child of this process
  int output = -1, messages = -1;  // its stdout and stderr: non-blocking pipe ends
  int signals = -1;                // a signalfd of the stop signals and SIGCHLD
  bool trains = false;             // whether its ranks train
};

// Returns when mpirun has ended, and closes its pipes. If mpirun does not notice that its ranks
// have ended, it is killed and the job counts as failed, because it is then unknown how the ranks
// ended.
//
// After a stop signal, asks the ranks to stop cleanly (SIGUSR1) every second, because mpirun loses
// signals that arrive before its ranks are up. A second SIGINT or a second SIGTERM aborts the job;
// other signals may be repeated, as clusters do. If no rank is left on this host, waits up to five
// seconds before it passes a signal on, because mpirun may be shutting down, and a signal would
// kill it.
//
// If the ranks do not train, their output is the job's purpose: then it is a failure if standard
// output can't be written.
ExitCode watch(const StartedMpirun& mpirun);

// The signal that makes mpirun abort its job.
extern const int abort_signal;

}  // namespace masformer
