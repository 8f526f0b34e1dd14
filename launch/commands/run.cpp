// masformer run: mpirun with settings that make it fast and its messages short, stopped cleanly.
//
// mpirun kills its ranks when it is interrupted itself. So it gets a process group of its own, out
// of reach of the terminal's Ctrl-C, and the wrapper turns SIGINT, SIGTERM and SIGHUP into the
// SIGUSR1 that mpirun passes on to its ranks.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/supervisor/mpirun_watch.h"

namespace masformer {
namespace {

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
  // The ranks write to mpirun; only the wrapper knows whether a person is watching.
  setenv("MASFORMER_WATCHED", isatty(STDOUT_FILENO) == 1 ? "yes" : "no", 1);
}

// Whether ranks on other hosts must have it, too: settings, and where libraries are found
// (runtime/plugin.h). Not the devices that a rank is shown, nor what
// NCCL knows a host by: these are the host's own.
bool is_passed_on(const std::string& name) {
  const auto begins = [&](const char* prefix) { return name.starts_with(prefix); };
  if (name == "CUDA_VISIBLE_DEVICES" || name == "NCCL_HOSTID") return false;
  return std::ranges::any_of(std::array{"MASFORMER_", "OMP_", "NCCL_", "CUDA_"}, begins) ||
         name == "LD_LIBRARY_PATH" || name == "PATH";
}

// mpirun gives ranks on other hosts only what it is told to.
Arguments passed_on_environment() {
  Arguments words;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string name = std::string(*variable).substr(0, std::string(*variable).find('='));
    if (is_passed_on(name)) words.insert(words.end(), {"-x", name});
  }
  return words;
}

[[noreturn]] void become_mpirun(const RunWords& words, int output, const sigset_t& signals_before) {
  setpgid(0, 0);
  dup2(output, STDERR_FILENO);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  // In its own end OpenMPI 4.1.4 gives up its handler and may still write to a rank that is dead.
  // It starts the ranks with the default.
  std::signal(SIGPIPE, SIG_IGN);
  Arguments line{"mpirun", "-n", std::to_string(words.ranks)};
  const Arguments passed_on = passed_on_environment();
  line.insert(line.end(), passed_on.begin(), passed_on.end());
  line.insert(line.end(), words.mpirun.begin(), words.mpirun.end());
  line.push_back(own_path());
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

}  // namespace

ExitCode run_command(const Arguments& arguments) {
  if (asks_for_help({arguments.begin(), std::ranges::find(arguments, "--")})) {
    fmt::print(
        "masformer run -n N [mpirun's options] -- train ...\n\n"
        "Starts N ranks by mpirun. Ctrl-C, SIGTERM or SIGHUP stops them after the step, with a "
        "checkpoint (exit status 3); a second one ends them at once.\n"
        "Sets, unless set already: no binding to cores, oversubscription, "
        "OMP_WAIT_POLICY=passive. Passes MASFORMER_*, OMP_*, NCCL_*, CUDA_* (but "
        "not CUDA_VISIBLE_DEVICES and NCCL_HOSTID), PATH and LD_LIBRARY_PATH on to ranks on other "
        "hosts.\n");
    return ExitCode::done;
  }
  const RunWords words = read_words(arguments);
  prepare_environment();
  const sigset_t signals = watched_signals();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &signals, &before);
  const int caught = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (caught < 0) fail("signals can't be watched: {}", std::strerror(errno));
  std::signal(SIGCHLD, SIG_DFL);  // where it is ignored, ends can't be waited for
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("no pipe can be made: {}", std::strerror(errno));
  const pid_t child = fork();
  if (child < 0) fail("no process can be started: {}", std::strerror(errno));
  if (child == 0) become_mpirun(words, ends[1], before);
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return watch({.process = child,
                .output = ends[0],
                .signals = caught,
                .trains = words.program[0] == "train"});
}

}  // namespace masformer
