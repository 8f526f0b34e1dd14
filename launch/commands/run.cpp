// masformer run: mpirun with settings that make it quiet and fast, stopped cleanly.
//
// mpirun kills its ranks when it is interrupted itself. So it gets a process group of its own, out
// of reach of the terminal's Ctrl-C, and the wrapper turns SIGINT and SIGTERM into the SIGUSR1 that
// mpirun passes on to its ranks.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/commands.h"

namespace masformer {
namespace {

using Clock = std::chrono::steady_clock;

// What a person or a batch system sends to end the job, and the end of the child.
sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  struct sigaction hang_up {};
  sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);  // nohup had it ignored
  return set;
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
  if (!is_command(words.program[0])) {
    refuse("run: there is no command {}: see masformer --help", words.program[0]);
  }
  return words;
}

// What the user has set already is left alone.
void set_default(const char* name, const std::string& value) {
  setenv(name, value.c_str(), 0);
}

void prepare_environment() {
  if (geteuid() == 0) {
    set_default("OMPI_ALLOW_RUN_AS_ROOT", "1");
    set_default("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  }
  set_default("OMPI_MCA_rmaps_base_oversubscribe", "1");
  set_default("OMPI_MCA_hwloc_base_binding_policy", "none");
  set_default("OMPI_MCA_btl_base_warn_component_unused", "0");
  set_default("OMP_WAIT_POLICY", "passive");
  // The ranks write to a pipe; only the wrapper knows whether a person is watching.
  set_default("MASFORMER_LOG_LIVE", isatty(STDOUT_FILENO) == 1 ? "on" : "off");
}

// mpirun gives ranks on other hosts only what it is told to.
Arguments passed_on_environment() {
  Arguments words;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string name = std::string(*variable).substr(0, std::string(*variable).find('='));
    if (!name.starts_with("MASFORMER_") && !name.starts_with("OMP_")) continue;
    words.insert(words.end(), {"-x", name});
  }
  return words;
}

[[noreturn]] void become_mpirun(const RunWords& words, const sigset_t& signals_before) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  Arguments line{"mpirun", "--quiet", "-n", std::to_string(words.ranks)};
  const Arguments passed_on = passed_on_environment();
  line.insert(line.end(), passed_on.begin(), passed_on.end());
  line.insert(line.end(), words.mpirun.begin(), words.mpirun.end());
  line.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  line.insert(line.end(), words.program.begin(), words.program.end());
  std::vector<char*> raw;
  for (std::string& word : line) raw.push_back(word.data());
  raw.push_back(nullptr);
  sigprocmask(SIG_SETMASK, &signals_before, nullptr);
  execvp("mpirun", raw.data());
  fmt::print(stderr, "masformer: mpirun can't be started: {}: install OpenMPI\n",
             std::strerror(errno));
  _exit(static_cast<int>(ExitCode::failure));
}

bool died_of_the_stop_signal(int status) {
  return (WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) ||
         (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGUSR1);
}

// What mpirun, made quiet, does not say. 128 + n stands for a rank that signal n ended.
void report_end(int status) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128;
  if (signal > 0) {
    fmt::print(stderr, "masformer: a rank was ended by signal {} ({}{})\n", signal,
               strsignal(signal), signal == SIGKILL ? ": out of memory?" : "");
  } else if (WEXITSTATUS(status) == static_cast<int>(ExitCode::failure)) {
    fmt::print(stderr, "masformer: the job failed\n");
  }
}

ExitCode exit_code(int status, const RunWords& words) {
  if (died_of_the_stop_signal(status)) {
    // Training holds the signal back before it does anything else: it had not begun.
    const bool trains = words.program[0] == "train";
    fmt::print(stderr, "masformer: stopped{}\n",
               trains ? " before the ranks were up; nothing has changed" : "");
    return trains ? ExitCode::interrupted : ExitCode::failure;
  }
  report_end(status);
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 3) return ExitCode::failure;
  return static_cast<ExitCode>(WEXITSTATUS(status));
}

// Waits for mpirun. The first signal asks the ranks for the clean stop, again every second, since
// mpirun loses what comes before its ranks are up; a later one ends the job at once.
ExitCode watch(pid_t child, const sigset_t& signals, const RunWords& words) {
  constexpr std::chrono::seconds doubled{1};  // one Ctrl-C may arrive twice
  std::optional<Clock::time_point> asked;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) != child) {
    const timespec second{1, 0};
    const int signal = sigtimedwait(&signals, nullptr, &second);
    if (signal == SIGCHLD) continue;
    const bool from_outside = signal > 0;
    if (from_outside && asked && Clock::now() - *asked > doubled) {
      fmt::print(stderr, "\nmasformer: ends at once\n");
      kill(child, SIGTERM);
    }
    if (from_outside && !asked) {
      fmt::print(stderr, "\nmasformer: stops{}; once more to end at once\n",
                 words.program[0] == "train" ? " after the step at hand, with a checkpoint" : "");
      asked = Clock::now();
    }
    if (asked) kill(child, SIGUSR1);
  }
  return exit_code(status, words);
}

}  // namespace

ExitCode run_command(const Arguments& arguments) {
  if (asks_for_help({arguments.begin(), std::ranges::find(arguments, "--")})) {
    fmt::print(
        "masformer run -n N [mpirun's options] -- train ...\n\n"
        "Starts N ranks by mpirun. Ctrl-C or SIGTERM stops them after the step, with a checkpoint "
        "(exit status 3); a second one ends them at once.\n"
        "Sets, unless set already: no binding to cores, oversubscription, "
        "OMP_WAIT_POLICY=passive. Passes MASFORMER_* and OMP_* on to ranks on other hosts.\n");
    return ExitCode::done;
  }
  const RunWords words = read_words(arguments);
  prepare_environment();
  const sigset_t signals = watched_signals();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t child = fork();
  if (child < 0) fail("no process can be started: {}", std::strerror(errno));
  if (child == 0) become_mpirun(words, before);
  return watch(child, signals, words);
}

}  // namespace masformer
