// masformer COMMAND ...: see `masformer --help`.
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

#include "launch/commands.h"
#include "launch/output/standard_streams.h"
#include "launch/version.h"

namespace masformer {
namespace {

std::string usage() {
  std::string text =
      "masformer trains transformers of mixed attention spans over many devices.\n\n";
  for (const Command& command : all_commands()) {
    text += fmt::format("  {}\n      {}\n", usage_of(command.name), command.purpose);
  }
  return text +
         "\n`masformer COMMAND --help` lists the options of a command; `masformer --version` names "
         "the commit and the libraries in use.\n"
         "Exit status: 0 done, 1 a failure, 2 unusable options or input, 3 stopped by a signal, "
         "after a checkpoint or before the first step.\n";
}

ExitCode dispatch(const Arguments& words) {
  if (words.empty()) {
    write_message(usage());
    return ExitCode::unusable;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    write_result(usage());
    return ExitCode::done;
  }
  if (words[0] == "--version") {
    write_result(version_text(build_commit()));
    return ExitCode::done;
  }
  const Command* const command = find_command(words[0]);
  if (command == nullptr) refuse("there is no command {}: see masformer --help", words[0]);
  return command->run({words.begin() + 1, words.end()});
}

// Makes OpenMP threads that wait for work sleep instead of spin, because ranks share cores.
// OpenMP's runtime reads the variable only when it is loaded, so the program sets it and executes
// itself again.
void wait_passively(int argc, char** argv) {
  const Command* const command = argc > 1 ? find_command(argv[1]) : nullptr;
  const bool computes = command != nullptr && command->runs_on_ranks;
  if (!computes || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv(own_path().c_str(), argv);  // if this fails, the program is only slower
}

}  // namespace
}  // namespace masformer

int main(int argc, char** argv) {
  using masformer::ExitCode;
  masformer::secure_standard_streams();
  masformer::wait_passively(argc, argv);
  std::signal(SIGXFSZ, SIG_IGN);  // so that exceeding a file size limit is an error with a message
  try {
    return static_cast<int>(masformer::dispatch({argv + 1, argv + argc}));
  } catch (const masformer::UsageError& error) {
    masformer::print_message("masformer: {}\n", error.what());
    return static_cast<int>(ExitCode::unusable);
  } catch (const std::exception& error) {
    masformer::print_message("masformer: {}\n", error.what());
    return static_cast<int>(ExitCode::failure);
  }
}
