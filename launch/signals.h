// The signals that ask a run to stop: SIGUSR1, which mpirun passes on to its ranks, SIGTERM, which
// Slurm sends, and SIGINT.
#pragma once

namespace masformer {

// From now on these signals are noted and do nothing else.
void note_stop_signals();
bool stop_requested();

}  // namespace masformer
