#include "launch/supervisor/mpirun_watch.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "launch/supervisor/child_processes.h"
#include "launch/supervisor/mpirun_messages.h"

namespace masformer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds doubled{200};  // one Ctrl-C may arrive twice
constexpr std::chrono::seconds again{1};
constexpr std::chrono::seconds timeout{5};

class Watch {
 public:
  explicit Watch(const StartedMpirun& mpirun) : mpirun_(mpirun) {}
  ExitCode run();

 private:
  void relay();
  void take_signal();
  void look_at_children();
  void pass_on();
  void end_if_stuck();
  ExitCode exit_code(int status) const;

  StartedMpirun mpirun_;
  MpirunMessages messages_;
  int wanted_ = 0;  // SIGUSR1 for a clean stop, SIGTERM to end at once
  Clock::time_point asked_, sent_;
  bool ranks_were_up_ = false;
  bool ending_ = false;  // mpirun seems to be in its own end, where it would die of any signal
  Clock::time_point alive_ = Clock::now();    // when a child was last seen alive
  Clock::time_point working_ = Clock::now();  // when mpirun last had not dead children alone
};

ExitCode Watch::run() {
  int status = 0;
  for (pid_t ended = 0; ended != mpirun_.process;
       ended = waitpid(mpirun_.process, &status, WNOHANG)) {
    if (ended == -1 && errno != EINTR) fail("mpirun is lost: {}", std::strerror(errno));
    std::array<pollfd, 2> ready{{{mpirun_.signals, POLLIN, 0}, {mpirun_.output, POLLIN, 0}}};
    poll(ready.data(), ready.size(), 1000);
    relay();
    take_signal();
    look_at_children();
    pass_on();
    end_if_stuck();
  }
  relay();
  std::fputs(messages_.rest().c_str(), stderr);
  return exit_code(status);
}

// Shows what mpirun has said since.
void Watch::relay() {
  std::array<char, 4096> block{};
  for (ssize_t size = 0; (size = read(mpirun_.output, block.data(), block.size())) != -1;) {
    if (size == 0) {
      close(std::exchange(mpirun_.output, -1));
      return;
    }
    const std::string_view piece(block.data(), static_cast<std::size_t>(size));
    std::fputs(messages_.pass(piece).c_str(), stderr);
  }
}

void Watch::take_signal() {
  signalfd_siginfo signal{};
  const bool any = read(mpirun_.signals, &signal, sizeof signal) > 0;
  if (!any || signal.ssi_signo == SIGCHLD) return;
  if (wanted_ != 0 && Clock::now() - asked_ <= doubled) return;
  asked_ = Clock::now();
  if (wanted_ != 0) {
    fmt::print(stderr, "\nmasformer: ends at once\n");
    wanted_ = SIGTERM;
    return;
  }
  fmt::print(stderr, "\nmasformer: stops{}; once more to end at once\n",
             mpirun_.trains ? " after the step at hand, with a checkpoint" : "");
  wanted_ = SIGUSR1;
  messages_.expect_stop();
}

void Watch::look_at_children() {
  const ChildProcesses children = children_of(mpirun_.process);
  const auto now = Clock::now();
  ranks_were_up_ |= children.any;
  if (!ranks_were_up_ || children.alive) alive_ = now;
  ending_ = ranks_were_up_ && !children.alive;
  if (!children.only_dead()) working_ = now;
}

// What was asked for is sent once in any case: an mpirun whose ranks are all on other hosts may be
// at work long after what started them there.
void Watch::pass_on() {
  const auto now = Clock::now();
  const bool due = sent_ < asked_ ? !ending_ || now - alive_ > timeout
                                  : wanted_ == SIGUSR1 && !ending_ && now - sent_ >= again;
  if (!due) return;
  kill(mpirun_.process, wanted_);
  sent_ = now;
}

// Mpirun takes note of its ranks' end at once, unless it has locked itself out in its own end, as
// OpenMPI 4.1.4 may after a rank's death.
void Watch::end_if_stuck() {
  if (Clock::now() - working_ <= timeout) return;
  fmt::print(stderr, "masformer: the ranks have ended, and mpirun does not: ends it\n");
  kill(mpirun_.process, SIGKILL);
  working_ = Clock::now();
}

bool died_of_the_stop_signal(int status) {
  return (WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1) ||
         (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGUSR1);
}

// A status of the program itself other than failure's.
bool ended_by_itself(int status) {
  if (!WIFEXITED(status) || WEXITSTATUS(status) > static_cast<int>(ExitCode::interrupted)) {
    return false;
  }
  return static_cast<ExitCode>(WEXITSTATUS(status)) != ExitCode::failure;
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

ExitCode Watch::exit_code(int status) const {
  if (ended_by_itself(status)) return static_cast<ExitCode>(WEXITSTATUS(status));
  if (wanted_ == SIGTERM && sent_ >= asked_) {
    fmt::print(stderr, "masformer: ended at once, as was asked{}\n",
               mpirun_.trains ? "; what was not saved is lost" : "");
    return ExitCode::failure;
  }
  if (wanted_ != SIGUSR1 || !died_of_the_stop_signal(status)) {
    report_end(status, messages_);
    return ExitCode::failure;
  }
  if (WIFSIGNALED(status) && ranks_were_up_) {
    fmt::print(stderr,
               "masformer: mpirun died of the stop signal: how its ranks ended is not known{}\n",
               mpirun_.trains ? "; the same command goes on from the last checkpoint" : "");
    return ExitCode::failure;
  }
  // Training holds the signal back before it does anything else: it had not begun.
  fmt::print(stderr, "masformer: stopped{}\n",
             mpirun_.trains ? " before the ranks were up; nothing has changed" : "");
  return mpirun_.trains ? ExitCode::interrupted : ExitCode::failure;
}

}  // namespace

ExitCode watch(const StartedMpirun& mpirun) {
  return Watch(mpirun).run();
}

}  // namespace masformer
