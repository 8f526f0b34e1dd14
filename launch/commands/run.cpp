// masformer run: mpirun with settings that make it quiet and fast, stopped cleanly.
//
// mpirun kills its ranks when it is interrupted itself. So it gets a process group of its own, out
// of reach of the terminal's Ctrl-C, and the wrapper turns SIGINT and SIGTERM into the SIGUSR1 that
// mpirun passes on to its ranks.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/commands.h"

namespace masformer {
namespace {

volatile pid_t child = 0;
volatile std::sig_atomic_t signals_seen = 0;

// The first signal asks for the clean stop, a second one ends the job at once.
extern "C" void pass_on(int) {
  signals_seen = signals_seen + 1;
  if (child > 0) kill(child, signals_seen == 1 ? SIGUSR1 : SIGTERM);
}

struct RunWords {
  int ranks = 0;
  Arguments mpirun;   // further options of mpirun
  Arguments program;  // what the ranks run
};

RunWords read_words(const Arguments& arguments) {
  RunWords words;
  const auto dashes = std::ranges::find(arguments, "--");
  for (auto word = arguments.begin(); word != dashes; ++word) {
    if (*word != "-n" && *word != "-np") {
      words.mpirun.push_back(*word);
      continue;
    }
    if (++word == dashes) refuse("run: -n needs a number of ranks");
    const char* const end = word->data() + word->size();
    const auto [stop, error] = std::from_chars(word->data(), end, words.ranks);
    if (error != std::errc() || stop != end) refuse("run: -n {} is not a whole number", *word);
  }
  if (dashes != arguments.end()) words.program.assign(dashes + 1, arguments.end());
  if (words.ranks < 1) refuse("run: say how many ranks, as in masformer run -n 4 -- train ...");
  if (words.program.empty()) {
    refuse("run: say what to run behind --, as in masformer run -n 4 -- train ...");
  }
  return words;
}

// What the user has set already is left alone.
void set_default(const char* name, const std::string& value) {
  setenv(name, value.c_str(), 0);
}

void prepare_environment(int ranks) {
  const int cores = std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  if (geteuid() == 0) {
    set_default("OMPI_ALLOW_RUN_AS_ROOT", "1");
    set_default("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  set_default("OMPI_MCA_rmaps_base_oversubscribe", "1");
  set_default("OMPI_MCA_hwloc_base_binding_policy", "none");
  set_default("OMPI_MCA_btl_base_warn_component_unused", "0");
  set_default("OMP_WAIT_POLICY", "passive");
  set_default("OMP_NUM_THREADS", std::to_string(std::max(cores / ranks, 1)));
  // The ranks write to a pipe; only the wrapper knows whether a person is watching.
  set_default("MASFORMER_LOG_LIVE", isatty(STDOUT_FILENO) == 1 ? "on" : "off");
}

[[noreturn]] void become_mpirun(const RunWords& words) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  Arguments line{"mpirun", "--quiet",           "-n", std::to_string(words.ranks),
                 "-x",     "OMP_NUM_THREADS",   "-x", "OMP_WAIT_POLICY",
                 "-x",     "MASFORMER_LOG_LIVE"};
  line.insert(line.end(), words.mpirun.begin(), words.mpirun.end());
  line.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  line.insert(line.end(), words.program.begin(), words.program.end());
  std::vector<char*> raw;
  for (std::string& word : line) raw.push_back(word.data());
  raw.push_back(nullptr);
  execvp("mpirun", raw.data());
  fmt::print(stderr, "masformer: mpirun can't be started: {}: install OpenMPI\n",
             std::strerror(errno));
  _exit(static_cast<int>(ExitCode::failure));
}

ExitCode wait_for_child() {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return ExitCode::failure;
  }
  if (!WIFEXITED(status)) return ExitCode::failure;
  const int code = WEXITSTATUS(status);
  return code <= 3 ? static_cast<ExitCode>(code) : ExitCode::failure;
}

}  // namespace

ExitCode run_command(const Arguments& arguments) {
  const bool help_wanted =
      arguments.empty() || asks_for_help({arguments.begin(), std::ranges::find(arguments, "--")});
  if (help_wanted) {
    fmt::print(
        "masformer run -n N [mpirun's options] -- train ...\n\n"
        "Starts N ranks by mpirun. Ctrl-C or SIGTERM stops them after the step, with a checkpoint "
        "(exit status 3); a second one ends them at once.\n"
        "Sets, unless set already: no binding to cores, oversubscription, OMP_NUM_THREADS = cores "
        "/ N, OMP_WAIT_POLICY=passive.\n");
    return ExitCode::done;
  }
  const RunWords words = read_words(arguments);
  prepare_environment(words.ranks);
  struct sigaction action {};
  action.sa_handler = pass_on;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  child = fork();
  if (child < 0) fail("no process can be started: {}", std::strerror(errno));
  if (child == 0) become_mpirun(words);
  return wait_for_child();
}

}  // namespace masformer
