// What `masformer run` does while mpirun runs: it relays mpirun's output, passes stop signals on,
// and turns mpirun's end into an exit status.
#pragma once

#include <sys/types.h>

#include "runtime/error.h"

namespace masformer {

struct StartedMpirun {
  pid_t process = 0;               // a child of this process
  int output = -1, messages = -1;  // its standard output and error: non-blocking ends of pipes
  int signals = -1;                // a signalfd of the stop signals and SIGCHLD
  bool trains = false;             // whether its ranks train
};

// Returns when mpirun has ended; closes its pipes. An mpirun that does not notice that its ranks
// have ended is killed, and the job counts as failed: how the ranks ended is then unknown.
//
// A stop signal asks the ranks for the clean stop (SIGUSR1), again every second, because mpirun
// loses what arrives before its ranks are up. A second SIGINT or a second SIGTERM aborts the job;
// clusters repeat the others. While no rank is left here, a signal waits up to five seconds for
// mpirun's own end, during which any signal would kill it.
//
// If the ranks do not train, their output is the job's purpose: then a standard output that refuses
// it is a failure.
ExitCode watch(const StartedMpirun& mpirun);

// What the wrapper sends to an mpirun that is to end its job at once.
extern const int abort_signal;

}  // namespace masformer
