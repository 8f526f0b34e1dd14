// masformer run: mpirun with settings that suit the program, short messages, and a clean stop.
//
// mpirun kills its ranks if it is interrupted itself. So it gets a process group of its own, out of
// reach of the terminal's Ctrl-C, and the wrapper turns each stop signal into the SIGUSR1 that
// mpirun forwards to its ranks.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/output/standard_streams.h"
#include "launch/supervisor/mpirun_watch.h"
#include "launch/supervisor/run_words.h"
#include "launch/training/signals.h"

namespace masformer {
namespace {

// Sets the variable unless the user has set it.
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

// Whether ranks on other hosts need the variable, too: it is a setting, or says where libraries are
// (runtime/plugin.h). The visible devices and NCCL's host id differ between hosts, so they are not
// passed on.
bool is_passed_on(const std::string& name) {
  const auto begins = [&](const char* prefix) { return name.starts_with(prefix); };
  if (name == "CUDA_VISIBLE_DEVICES" || name == "NCCL_HOSTID") return false;
  return std::ranges::any_of(std::array{"MASFORMER_", "OMP_", "NCCL_", "CUDA_"}, begins) ||
         name == "LD_LIBRARY_PATH" || name == "PATH";
}

// The -x options for the variables to pass on: without them, mpirun passes none to other hosts.
Arguments passed_on_environment() {
  Arguments words;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string name = std::string(*variable).substr(0, std::string(*variable).find('='));
    if (is_passed_on(name)) words.insert(words.end(), {"-x", name});
  }
  return words;
}

struct Pipe {
  int read = -1, write = -1;
};

// The reading end is non-blocking. exec closes both ends.
Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("can't create a pipe: {}", std::strerror(errno));
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {ends[0], ends[1]};
}

// Clusters signal all processes of a job. mpirun would kill its ranks at SIGTERM or SIGHUP, and die
// of SIGXCPU. So these signals are blocked in mpirun, and the wrapper handles them. The ranks start
// with none of them blocked.
void block_what_the_wrapper_takes(const sigset_t& before) {
  sigset_t blocked = before;
  for (const int signal : {SIGTERM, SIGHUP, SIGXCPU}) sigaddset(&blocked, signal);
  sigdelset(&blocked, abort_signal);
  std::signal(abort_signal, SIG_DFL);  // shells ignore it in background jobs
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
}

[[noreturn]] void become_mpirun(const RunWords& words, const Pipe& output, const Pipe& messages,
                                const sigset_t& signals_before) {
  setpgid(0, 0);
  dup2(output.write, STDOUT_FILENO);
  dup2(messages.write, STDERR_FILENO);
  prctl(PR_SET_PDEATHSIG, abort_signal);
  // During shutdown, mpirun (OpenMPI 4.1.4) restores the SIGPIPE disposition that it was started
  // with, and may then write to a dead rank. So start it with SIGPIPE ignored. The ranks still get
  // the default disposition.
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
  block_what_the_wrapper_takes(signals_before);
  execvp("mpirun", raw.data());
  print_message("masformer: can't start mpirun: {}: install OpenMPI\n", std::strerror(errno));
  _exit(static_cast<int>(ExitCode::failure));
}

void print_help() {
  print_result(
      "{}\n\n"
      "Starts N ranks with mpirun. Ctrl-C (SIGINT), SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU "
      "end training after the current step, with a checkpoint (exit status 3), and other commands "
      "at "
      "once. A second Ctrl-C or SIGTERM aborts the job.\n"
      "The options before -- are mpirun's; -np and -c mean -n.\n"
      "Unless already set, turns off binding to cores, allows oversubscription and sets "
      "OMP_WAIT_POLICY=passive. "
      "Passes MASFORMER_*, OMP_*, NCCL_*, CUDA_* (except CUDA_VISIBLE_DEVICES and NCCL_HOSTID), "
      "PATH and LD_LIBRARY_PATH on to ranks on other hosts.\n",
      usage_of("run"));
}

}  // namespace

ExitCode run_command(const Arguments& arguments) {
  if (asks_for_help({arguments.begin(), std::ranges::find(arguments, "--")})) {
    print_help();
    return ExitCode::done;
  }
  const RunWords words = parse_run_words(arguments);
  prepare_environment();
  sigset_t signals = stop_signals();
  sigaddset(&signals, SIGCHLD);
  sigset_t before;
  sigprocmask(SIG_BLOCK, &signals, &before);
  const int caught = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (caught < 0) fail("can't watch signals: {}", std::strerror(errno));
  std::signal(SIGCHLD, SIG_DFL);  // if it is ignored, children can't be waited for
  const Pipe output = make_pipe();
  const Pipe messages = make_pipe();
  const pid_t child = fork();
  if (child < 0) fail("can't start a process: {}", std::strerror(errno));
  if (child == 0) become_mpirun(words, output, messages, before);
  close(output.write);
  close(messages.write);
  return watch({.process = child,
                .output = output.read,
                .messages = messages.read,
                .signals = caught,
                .trains = words.program[0] == "train" && !asks_for_help(words.program)});
}

}  // namespace masformer
