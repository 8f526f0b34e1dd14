// How a command that runs on many ranks starts and ends.
#pragma once

#include <functional>

#include "parallel/mpi_communicator.h"
#include "runtime/error.h"

namespace masformer {

// Starts MPI, runs `body` on this rank, and ends MPI. What all ranks throw alike is printed once,
// by rank 0; what one rank alone throws is printed by that rank, and ends the job.
ExitCode run_on_ranks(const std::function<ExitCode(const MpiSession&)>& body);

}  // namespace masformer
