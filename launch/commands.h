// The program's commands. Each takes the words after its name and returns the exit status; what
// can't be used is thrown as UsageError, and what fails as Error.
#pragma once

#include <string>
#include <vector>

#include "runtime/error.h"

namespace masformer {

using Arguments = std::vector<std::string>;

ExitCode prepare_command(const Arguments& arguments);
ExitCode train_command(const Arguments& arguments);
ExitCode run_command(const Arguments& arguments);
ExitCode eval_command(const Arguments& arguments);
ExitCode inspect_command(const Arguments& arguments);

// The file of this program, under its real name; empty where the system does not tell.
std::string own_path();

// Whether there is a command of this name.
bool is_command(const std::string& name);

// Whether the words ask for help alone.
bool asks_for_help(const Arguments& arguments);

}  // namespace masformer
