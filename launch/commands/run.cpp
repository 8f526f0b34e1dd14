// masformer run: mpirun with settings that make it fast and its messages short, stopped cleanly.
//
// mpirun kills its ranks when it is interrupted itself. So it gets a process group of its own, out
// of reach of the terminal's Ctrl-C, and the wrapper turns SIGINT and SIGTERM into the SIGUSR1 that
// mpirun passes on to its ranks.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <initializer_list>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/commands/mpirun_messages.h"

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
  // The ranks write to mpirun; only the wrapper knows whether a person is watching.
  setenv("MASFORMER_WATCHED", isatty(STDOUT_FILENO) == 1 ? "yes" : "no", 1);
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

[[noreturn]] void become_mpirun(const RunWords& words, int output, const sigset_t& signals_before) {
  setpgid(0, 0);
  dup2(output, STDERR_FILENO);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
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

// mpirun at work.
struct Job {
  pid_t process = 0;
  int output = -1;   // mpirun's standard error; -1 after its end
  int signals = -1;  // a signalfd
  bool trains = false;
  bool stop_asked = false;  // after the step at hand
  bool end_asked = false;   // at once
  bool ranks_were_up = false;
  MpirunMessages messages;
};

// Shows what mpirun has said since.
void relay(Job& job) {
  std::array<char, 4096> block{};
  for (ssize_t size = 0; (size = read(job.output, block.data(), block.size())) != -1;) {
    if (size == 0) {
      close(std::exchange(job.output, -1));
      return;
    }
    const std::string_view piece(block.data(), static_cast<std::size_t>(size));
    std::fputs(job.messages.pass(piece).c_str(), stderr);
  }
}

// What mpirun has started here: its ranks, or what starts them on other hosts.
struct Children {
  bool any = false, alive = false;

  // Mpirun takes note of their end at once, unless it has locked itself out in its own end, as
  // OpenMPI 4.1.4 may after a rank's death.
  bool only_dead() const { return any && !alive; }
};

Children children_of(pid_t process) {
  std::ifstream list(fmt::format("/proc/{0}/task/{0}/children", process));
  Children children;
  for (std::string child; list >> child; children.any = true) {
    std::ifstream file("/proc/" + child + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(") ");
    children.alive |= name_end != std::string::npos && text[name_end + 2] != 'Z';
  }
  return children;
}

// The next of the signals that have come; 0: none.
int next_signal(const Job& job) {
  signalfd_siginfo signal{};
  return read(job.signals, &signal, sizeof signal) > 0 ? static_cast<int>(signal.ssi_signo) : 0;
}

bool died_of_the_stop_signal(int status) {
  return (WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) ||
         (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGUSR1);
}

// A status of 128 + n may be a rank's that signal n ended, or a code of mpirun's own: it has said
// which.
void report_end(int status, const MpirunMessages& messages) {
  if (WIFSIGNALED(status)) {
    fmt::print(stderr, "masformer: mpirun was ended by signal {} ({})\n", WTERMSIG(status),
               strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) > static_cast<int>(ExitCode::interrupted)) {
    const bool killed = messages.told_of_signal(SIGKILL);
    fmt::print(stderr, "masformer: the job failed: mpirun ended with status {}{}\n",
               WEXITSTATUS(status), killed ? "; out of memory?" : "");
  } else if (WEXITSTATUS(status) == static_cast<int>(ExitCode::failure)) {
    fmt::print(stderr, "masformer: the job failed\n");
  }
}

// Whether the job was done, or had stopped cleanly.
bool ended_well(int status) {
  if (!WIFEXITED(status)) return false;
  const auto code = static_cast<ExitCode>(WEXITSTATUS(status));
  return code == ExitCode::done || code == ExitCode::interrupted;
}

ExitCode exit_code(int status, const Job& job) {
  const bool too_late = WIFSIGNALED(status) && job.ranks_were_up;  // in mpirun's own end
  if (job.stop_asked && !job.end_asked && !too_late && died_of_the_stop_signal(status)) {
    // Training holds the signal back before it does anything else: it had not begun.
    fmt::print(stderr, "masformer: stopped{}\n",
               job.trains ? " before the ranks were up; nothing has changed" : "");
    return job.trains ? ExitCode::interrupted : ExitCode::failure;
  }
  if (job.end_asked && !ended_well(status)) {
    fmt::print(stderr, "masformer: ended at once, as was asked; what was not saved is lost\n");
    return ExitCode::failure;
  }
  report_end(status, job.messages);
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 3) return ExitCode::failure;
  return static_cast<ExitCode>(WEXITSTATUS(status));
}

// Waits for mpirun, but not for ever: one that has to be ended counts as failed, however its ranks
// ended, since it alone knew. The first signal asks the ranks for the clean stop, again every
// second, since mpirun loses what comes before its ranks are up; a later one ends the job at once.
ExitCode watch(Job& job) {
  constexpr std::chrono::milliseconds doubled{200};  // one Ctrl-C may arrive twice
  constexpr std::chrono::seconds again{1};
  constexpr std::chrono::seconds patience{5};
  Clock::time_point asked, sent;
  Clock::time_point working = Clock::now();
  int status = 0;
  while (waitpid(job.process, &status, WNOHANG) != job.process) {
    std::array<pollfd, 2> ready{{{job.signals, POLLIN, 0}, {job.output, POLLIN, 0}}};
    poll(ready.data(), ready.size(), 1000);
    relay(job);
    const int signal = next_signal(job);
    const bool from_outside = signal > 0 && signal != SIGCHLD;
    if (from_outside && job.stop_asked && Clock::now() - asked > doubled) {
      fmt::print(stderr, "\nmasformer: ends at once\n");
      job.end_asked = true;
      kill(job.process, SIGTERM);
    }
    if (from_outside && !job.stop_asked) {
      fmt::print(stderr, "\nmasformer: stops{}; once more to end at once\n",
                 job.trains ? " after the step at hand, with a checkpoint" : "");
      job.stop_asked = true;
      job.messages.expect_stop();
      asked = Clock::now();
    }
    const Children children = children_of(job.process);
    job.ranks_were_up |= children.alive;
    // In its own end mpirun would die of a repetition.
    const bool ending = job.ranks_were_up && !children.alive;
    const bool due = sent < asked || (!ending && Clock::now() - sent >= again);
    if (job.stop_asked && !job.end_asked && due) {
      kill(job.process, SIGUSR1);
      sent = Clock::now();
    }
    if (!children.only_dead()) working = Clock::now();
    if (Clock::now() - working > patience) {
      fmt::print(stderr, "masformer: the ranks have ended, and mpirun does not: ends it\n");
      kill(job.process, SIGKILL);
      working = Clock::now();
    }
  }
  relay(job);
  std::fputs(job.messages.rest().c_str(), stderr);
  return exit_code(status, job);
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
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("no pipe can be made: {}", std::strerror(errno));
  const pid_t child = fork();
  if (child < 0) fail("no process can be started: {}", std::strerror(errno));
  if (child == 0) become_mpirun(words, ends[1], before);
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  Job job{.process = child,
          .output = ends[0],
          .signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC),
          .trains = words.program[0] == "train",
          .messages = {}};
  return watch(job);
}

}  // namespace masformer
