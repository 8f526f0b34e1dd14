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
  std::string name;      // its name in the list of commands
  OptionTable& options;  // its targets are set before `run` is called
  std::function<ExitCode(const MpiSession&)> run;
};

// Starts MPI, parses `arguments` (or prints the help), checks that all ranks read the same options,
// runs the command on this rank, and ends MPI. An error that all ranks agreed on is printed once,
// by rank 0; an error of one rank alone is printed by that rank and aborts the job.
ExitCode run_on_ranks(const std::vector<std::string>& arguments, const RankCommand& command);

}  // namespace masformer
