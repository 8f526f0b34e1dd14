#include "launch/commands.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

namespace masformer {
namespace {

constexpr std::array commands{
    Command{"prepare", "--input PATH... --output FILE", "convert text to a token store, once",
            prepare_command},
    Command{"train", "[--config FILE] [--section.key value ...]",
            "train a model (one process per rank, started by `masformer run`, mpirun or srun "
            "--mpi=pmix)",
            train_command, true},
    Command{"plan",
            "--ranks N [--config FILE] [--section.key value ...] [--json] [--timeline FILE]",
            "find the layout with the shortest step for N ranks, without training", plan_command},
    Command{"run", "-n N [mpirun options] -- train|eval ...",
            "run train or eval on N ranks under mpirun; a stop signal ends it cleanly",
            run_command},
    Command{"eval", "--checkpoint CHECKPOINT --data.path STORE",
            "print the loss of a checkpoint on a token store", eval_command, true},
    Command{"inspect", "CHECKPOINT [--json] [--verify] [--compare OTHER]",
            "print, verify or compare checkpoints", inspect_command},
    Command{"report", "RUN_DIR [RUN_DIR ...] [--output FILE] [--timeline]",
            "write RUN_DIR/report.html, which shows what runs did, and RUN_DIR/trace.json",
            report_command},
};

}  // namespace

std::span<const Command> all_commands() {
  return commands;
}

const Command* find_command(std::string_view name) {
  const auto found = std::ranges::find(commands, name, &Command::name);
  return found == commands.end() ? nullptr : &*found;
}

std::string usage_of(std::string_view name) {
  const Command* const command = find_command(name);
  require(command != nullptr, "there is no command {}", name);
  return fmt::format("masformer {} {}", name, command->usage);
}

bool asks_for_help(const Arguments& arguments) {
  return std::ranges::any_of(
      arguments, [](const std::string& word) { return word == "--help" || word == "-h"; });
}

std::string own_path() {
  std::error_code unknown;
  return std::filesystem::read_symlink("/proc/self/exe", unknown).string();
}

}  // namespace masformer
