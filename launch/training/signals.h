// The signals that ask a run to stop: SIGUSR1, which mpirun passes on to its ranks, SIGTERM, which
// Slurm sends, and SIGINT.
//
// They are blocked and looked for between steps; no handler ever runs. With one, 2 of 5 runs that
// were stopped died of a corrupted heap inside oneDNN's product; without, none of 6. Why was not
// found.
#pragma once

namespace masformer {

// From now on these signals wait to be looked for, in this thread and in all that it starts. Call
// it before there are other threads.
void hold_stop_signals();
// Whether one has come; from then on true.
bool stop_requested();

}  // namespace masformer
