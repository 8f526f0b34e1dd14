// The program's commands: their list, and the functions that run them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"

namespace masformer {

using Arguments = std::vector<std::string>;

struct Command {
  std::string_view name;
  std::string_view usage;  // what follows the name on the command line
  std::string_view purpose;
  // Runs the command with the arguments after its name. Throws UsageError for unusable options or
  // input, and Error for a failure.
  ExitCode (*run)(const Arguments&);
  bool runs_on_ranks = false;  // whether mpirun may start it
};

std::span<const Command> all_commands();
// Null if there is no command of this name.
const Command* find_command(std::string_view name);
// "masformer NAME USAGE" of a command in the list.
std::string usage_of(std::string_view name);

// Whether --help or -h is among the arguments.
bool asks_for_help(const Arguments& arguments);

// The path of this program's executable; empty if it is unknown.
std::string own_path();

ExitCode plan_command(const Arguments& arguments);
ExitCode prepare_command(const Arguments& arguments);
ExitCode report_command(const Arguments& arguments);
ExitCode train_command(const Arguments& arguments);
ExitCode run_command(const Arguments& arguments);
ExitCode eval_command(const Arguments& arguments);
ExitCode inspect_command(const Arguments& arguments);

}  // namespace masformer
