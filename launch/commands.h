// The program's commands: one list, and the functions behind it.
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
  std::string_view usage;  // the words after the name
  std::string_view purpose;
  // Takes the words after the name. Throws UsageError for options or input that can't be used, and
  // Error for a failure.
  ExitCode (*run)(const Arguments&);
  bool runs_on_ranks = false;  // mpirun may start it
};

std::span<const Command> all_commands();
// Null if there is no command of this name.
const Command* find_command(std::string_view name);
// "masformer NAME USAGE" of a command in the list.
std::string usage_of(std::string_view name);

// Whether --help or -h is among the words.
bool asks_for_help(const Arguments& arguments);

// The path of this program's file; empty if the system does not tell.
std::string own_path();

ExitCode prepare_command(const Arguments& arguments);
ExitCode train_command(const Arguments& arguments);
ExitCode run_command(const Arguments& arguments);
ExitCode eval_command(const Arguments& arguments);
ExitCode inspect_command(const Arguments& arguments);

}  // namespace masformer
