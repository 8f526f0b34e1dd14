// What `masformer run` does while mpirun is at work: it shows what that says, passes stop signals
// on, and makes an exit status of its end.
#pragma once

#include <sys/types.h>

#include "runtime/error.h"

namespace masformer {

struct StartedMpirun {
  pid_t process = 0;    // a child of this one
  int output = -1;      // its standard error: a pipe that does not block
  int signals = -1;     // a signalfd of what is to be watched for, SIGCHLD among it
  bool trains = false;  // whether its ranks train
};

// Returns when mpirun has ended. One that takes no note of its ranks' end is ended, and counts as
// failed however they ended: it alone knew.
//
// The first signal asks the ranks for the clean stop (SIGUSR1), again every second, since mpirun
// loses what comes before its ranks are up; a later one ends the job at once (SIGTERM). When no
// rank is left here, a signal waits for mpirun's own end for five seconds.
ExitCode watch(const StartedMpirun& mpirun);

}  // namespace masformer
