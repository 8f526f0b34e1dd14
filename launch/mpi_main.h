// How a command that runs on many ranks starts and ends.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launch/options/option_table.h"
#include "parallel/comm/mpi/communicator.h"
#include "runtime/error.h"

namespace masformer {

struct RankCommand {
  std::string usage;     // the first line of its help
  OptionTable& options;  // its targets are set when `run` is called
  std::function<ExitCode(const MpiSession&)> run;
};

// Starts MPI, parses `arguments` (or prints the help), makes sure that all ranks read the same
// options, runs the command on this rank, and ends MPI. What all ranks throw alike is printed once,
// by rank 0; what one rank alone throws is printed by that rank, and ends the job.
ExitCode run_on_ranks(const std::vector<std::string>& arguments, const RankCommand& command);

}  // namespace masformer
