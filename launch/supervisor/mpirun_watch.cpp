#include "launch/supervisor/mpirun_watch.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <set>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "launch/supervisor/child_processes.h"
#include "launch/supervisor/mpirun_messages.h"
#include "launch/supervisor/stream_relay.h"

namespace masformer {

// Not SIGTERM, which is blocked in mpirun (launch/commands/run.cpp).
const int abort_signal = SIGINT;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds doubled{200};  // a second signal sooner is the same one
constexpr std::chrono::seconds resend_interval{1};
constexpr std::chrono::seconds timeout{5};

class Watch {
 public:
  explicit Watch(const StartedMpirun& mpirun);
  ExitCode run();

 private:
  void wait_for_events(bool mpirun_runs);
  void take_signals();
  void take_signal(int number);
  void look_at_children();
  void pass_on();
  void end_if_stuck();
  void flush();
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args);
  ExitCode exit_code(int status);
  ExitCode stopped_by_signal(int status);
  void report_end(int status);

  StartedMpirun mpirun_;
  MpirunMessages filter_;
  StreamRelay output_, messages_;
  int wanted_ = 0;             // SIGUSR1 for a clean stop, or abort_signal
  std::set<int> seen_;         // the stop signals that arrived
  Clock::time_point arrived_;  // when the last one did
  Clock::time_point asked_, sent_;
  bool ranks_were_up_ = false;
  bool abandoned_ = false;  // a signal came while the rest of the output was written: drop it
  bool ending_ = false;     // no rank is left: a signal would kill mpirun in its shutdown
  Clock::time_point alive_ = Clock::now();    // when a child was last seen alive
  Clock::time_point working_ = Clock::now();  // when not all children were dead
};

Watch::Watch(const StartedMpirun& mpirun)
    : mpirun_(mpirun),
      output_(mpirun.output, STDOUT_FILENO,
              [](std::string_view text) { return std::string(text); }),
      messages_(mpirun.messages, STDERR_FILENO,
                [this](std::string_view text) { return filter_.pass(text); }) {}

ExitCode Watch::run() {
  int status = 0;
  for (pid_t ended = 0; ended != mpirun_.process;
       ended = waitpid(mpirun_.process, &status, WNOHANG)) {
    if (ended == -1 && errno != EINTR) fail("can't wait for mpirun: {}", std::strerror(errno));
    wait_for_events(true);
    take_signals();
    look_at_children();
    pass_on();
    end_if_stuck();
  }
  output_.receive();
  messages_.receive();
  messages_.add(filter_.rest());
  flush();
  const ExitCode code = exit_code(status);
  flush();
  return code;
}

// Waits at most a second for a signal, a child's end or a stream, and relays the streams.
void Watch::wait_for_events(bool mpirun_runs) {
  const auto source = [&](const StreamRelay& relay) {
    return mpirun_runs ? relay.awaited_source() : -1;
  };
  std::array<pollfd, 5> ready{{{mpirun_.signals, POLLIN, 0},
                               {source(output_), POLLIN, 0},
                               {source(messages_), POLLIN, 0},
                               {output_.awaited_sink(), POLLOUT, 0},
                               {messages_.awaited_sink(), POLLOUT, 0}}};
  poll(ready.data(), ready.size(), 1000);
  for (StreamRelay* const relay : {&output_, &messages_}) {
    if (mpirun_runs) relay->receive();
    relay->send();
  }
}

// Writes the rest of the output. If the reader has stopped reading, a signal ends the wait.
void Watch::flush() {
  signalfd_siginfo signal{};
  output_.send();
  messages_.send();
  while (!abandoned_ && (output_.awaited_sink() >= 0 || messages_.awaited_sink() >= 0)) {
    wait_for_events(false);
    while (read(mpirun_.signals, &signal, sizeof signal) > 0) {
      abandoned_ |= signal.ssi_signo != SIGCHLD;
    }
  }
}

template <class... Args>
void Watch::say(fmt::format_string<Args...> format, Args&&... args) {
  messages_.add("masformer: " + fmt::format(format, std::forward<Args>(args)...) + "\n");
}

void Watch::take_signals() {
  signalfd_siginfo signal{};
  while (read(mpirun_.signals, &signal, sizeof signal) > 0) {
    if (signal.ssi_signo != SIGCHLD) take_signal(static_cast<int>(signal.ssi_signo));
  }
}

void Watch::take_signal(int number) {
  const auto now = Clock::now();
  if (!seen_.empty() && now - arrived_ <= doubled) return;
  arrived_ = now;
  const bool repeated = !seen_.insert(number).second;
  const bool may_abort = number == SIGINT || number == SIGTERM;
  if (repeated && !may_abort) return;
  messages_.add("\n");  // a terminal shows "^C" at the line's start
  if (repeated) {
    say("aborting");
    wanted_ = abort_signal;
    asked_ = now;
    return;
  }
  say("SIG{}: stopping{}{}", sigabbrev_np(number),
      mpirun_.trains ? " after this step, with a checkpoint" : "",
      may_abort ? "; repeat to abort" : "");
  if (wanted_ != 0) return;
  wanted_ = SIGUSR1;
  asked_ = now;
  filter_.expect_stop();
}

void Watch::look_at_children() {
  const ChildProcesses children = children_of(mpirun_.process);
  const auto now = Clock::now();
  ranks_were_up_ |= children.any;
  if (!ranks_were_up_ || children.alive) alive_ = now;
  ending_ = ranks_were_up_ && !children.alive;
  if (!children.only_dead()) working_ = now;
}

// Sends each request at least once, even if no rank is left here: if all ranks are on other hosts,
// they may still run long after the local processes that started them have ended.
void Watch::pass_on() {
  const auto now = Clock::now();
  const bool due = sent_ < asked_
                       ? !ending_ || now - alive_ > timeout
                       : wanted_ == SIGUSR1 && !ending_ && now - sent_ >= resend_interval;
  if (!due) return;
  kill(mpirun_.process, wanted_);
  sent_ = now;
}

// mpirun normally notices at once that its ranks have ended. But OpenMPI 4.1.4 may deadlock during
// its own shutdown after a rank's death.
void Watch::end_if_stuck() {
  if (Clock::now() - working_ <= timeout) return;
  say("the ranks have ended but mpirun has not: killing it");
  kill(mpirun_.process, SIGKILL);
  working_ = Clock::now();
}

bool died_of_the_stop_signal(int status) {
  return (WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) ||
         (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGUSR1);
}

// Whether mpirun ended with an exit code of masformer itself other than failure.
bool ended_by_itself(int status) {
  if (!WIFEXITED(status) || WEXITSTATUS(status) > static_cast<int>(ExitCode::interrupted)) {
    return false;
  }
  return static_cast<ExitCode>(WEXITSTATUS(status)) != ExitCode::failure;
}

// A status of 128 + n means that signal n ended a rank, or is a code of mpirun's own. mpirun's
// messages tell which.
void Watch::report_end(int status) {
  if (WIFSIGNALED(status)) {
    say("mpirun was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) > static_cast<int>(ExitCode::interrupted)) {
    const bool killed = filter_.told_of_signal(SIGKILL);
    say("the job failed: mpirun ended with status {}{}", WEXITSTATUS(status),
        killed ? "; out of memory?" : "");
    if (killed && mpirun_.trains) say("`masformer report RUN_DIR` shows what the ranks were doing");
  } else if (WEXITSTATUS(status) == static_cast<int>(ExitCode::failure)) {
    say("the job failed");
  }
}

ExitCode Watch::exit_code(int status) {
  if (ended_by_itself(status)) {
    const auto code = static_cast<ExitCode>(WEXITSTATUS(status));
    if (mpirun_.trains || code != ExitCode::done || output_.error() == 0) return code;
    say("standard output can't be written: {}", std::strerror(output_.error()));
    return ExitCode::failure;
  }
  if (filter_.told_of_unknown_option()) return ExitCode::unusable;
  if (wanted_ == abort_signal && sent_ >= asked_) {
    say("aborted as requested{}",
        mpirun_.trains ? "; the work since the last checkpoint is lost" : "");
    return ExitCode::failure;
  }
  if (wanted_ == SIGUSR1 && died_of_the_stop_signal(status)) return stopped_by_signal(status);
  report_end(status);
  return ExitCode::failure;
}

// mpirun or its ranks were killed by SIGUSR1. Training blocks this signal before it does anything
// else, so a rank that it killed had not begun.
ExitCode Watch::stopped_by_signal(int status) {
  if (WIFSIGNALED(status) && ranks_were_up_) {
    say("mpirun itself was killed by the stop signal: it is unknown whether the ranks ended "
        "cleanly{}",
        mpirun_.trains ? "; run the same command with checkpoint.resume=auto to continue from the "
                         "last checkpoint"
                       : "");
    return ExitCode::failure;
  }
  say("stopped{}", mpirun_.trains ? " before the ranks were up; nothing was lost" : "");
  return mpirun_.trains ? ExitCode::interrupted : ExitCode::failure;
}

}  // namespace

ExitCode watch(const StartedMpirun& mpirun) {
  return Watch(mpirun).run();
}

}  // namespace masformer
