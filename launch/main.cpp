// masformer COMMAND ...: see `masformer --help`.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/commands.h"

namespace masformer {
namespace {

struct Command {
  std::string_view name;
  const char* usage;
  const char* what;
  ExitCode (*run)(const Arguments&);
};

constexpr std::array commands{
    Command{"prepare", "--input PATH... --output tokens.h5", "text to a token store, once",
            prepare_command},
    Command{"train", "[--config F] [--section.key value ...]",
            "train; under mpirun or srun --mpi=pmix, one process a rank", train_command},
    Command{"run", "-n N [mpirun's options] -- train ...",
            "start mpirun with good settings, and stop it cleanly", run_command},
    Command{"eval", "--checkpoint CHECKPOINT --data.path STORE",
            "the loss of a checkpoint on a token store", eval_command},
    Command{"inspect", "CHECKPOINT [--verify] [--compare OTHER]", "what a checkpoint holds",
            inspect_command},
};

void print_usage(std::FILE* to) {
  fmt::print(to, "masformer trains transformers of mixed attention spans over many devices.\n\n");
  for (const Command& command : commands) {
    fmt::print(to, "  masformer {:<8} {:<44} {}\n", command.name, command.usage, command.what);
  }
  fmt::print(to,
             "\n`masformer COMMAND --help` lists a command's options; `masformer --version` says "
             "which this is.\n"
             "Exit status: 0 done, 1 a failure, 2 unusable options or input, 3 interrupted after a "
             "clean checkpoint.\n");
}

ExitCode dispatch(const Arguments& words) {
  if (words.empty()) {
    print_usage(stderr);
    return ExitCode::unusable;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_usage(stdout);
    return ExitCode::done;
  }
  if (words[0] == "--version") {
    fmt::print("masformer {}\n", MASFORMER_VERSION);
    return ExitCode::done;
  }
  if (!is_command(words[0])) refuse("there is no command {}: see masformer --help", words[0]);
  const auto found = std::ranges::find(commands, words[0], &Command::name);
  return found->run({words.begin() + 1, words.end()});
}

// Threads that wait for work must not spin: ranks share cores. OpenMP's runtime reads this once,
// when it is loaded, so the program starts itself again with it.
void wait_passively(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  const bool computes = command == "train" || command == "eval";
  if (!computes || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv(own_path().c_str(), argv);  // where that fails, slower is all it is
}

}  // namespace

std::string own_path() {
  std::error_code unknown;
  return std::filesystem::read_symlink("/proc/self/exe", unknown).string();
}

bool is_command(const std::string& name) {
  return std::ranges::find(commands, name, &Command::name) != commands.end();
}

bool asks_for_help(const Arguments& arguments) {
  return std::ranges::count(arguments, "--help") + std::ranges::count(arguments, "-h") > 0;
}

}  // namespace masformer

int main(int argc, char** argv) {
  using masformer::ExitCode;
  masformer::wait_passively(argc, argv);
  std::signal(SIGXFSZ, SIG_IGN);  // so that a file size limit is an error with a message
  try {
    return static_cast<int>(masformer::dispatch({argv + 1, argv + argc}));
  } catch (const masformer::UsageError& error) {
    fmt::print(stderr, "masformer: {}\n", error.what());
    return static_cast<int>(ExitCode::unusable);
  } catch (const std::exception& error) {
    fmt::print(stderr, "masformer: {}\n", error.what());
    return static_cast<int>(ExitCode::failure);
  }
}
