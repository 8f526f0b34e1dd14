// Children that threads of a process have started, from their start until they are reaped.
#include "launch/supervisor/child_processes.h"

#include <csignal>
#include <future>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

pid_t start_child() {
  const pid_t child = fork();
  require(child >= 0, "no process can be started");
  if (child > 0) return child;
  pause();
  _exit(0);
}

void expect_children(bool any, bool alive) {
  const ChildProcesses children = children_of(getpid());
  EXPECT_EQ(children.any, any);
  EXPECT_EQ(children.alive, alive);
  EXPECT_EQ(children.only_dead(), any && !alive);
}

// The system lists a child with the thread that started it, as long as that thread exists.
TEST(ChildProcesses, IncludeThoseOfAllThreads) {
  for (const bool elsewhere : {false, true}) {
    SCOPED_TRACE(elsewhere ? "by another thread" : "by the first thread");
    expect_children(false, false);
    std::promise<pid_t> started;
    std::promise<void> seen;
    pid_t child = 0;
    std::jthread starter;
    if (elsewhere) {
      starter = std::jthread([&] {
        started.set_value(start_child());
        seen.get_future().wait();
      });
      child = started.get_future().get();
    } else {
      child = start_child();
    }
    expect_children(true, true);
    kill(child, SIGKILL);
    siginfo_t dead;
    waitid(P_PID, static_cast<id_t>(child), &dead, WEXITED | WNOWAIT);
    expect_children(true, false);
    waitpid(child, nullptr, 0);
    expect_children(false, false);
    seen.set_value();
  }
}

TEST(ChildProcesses, AreEmptyIfTheParentHasEnded) {
  const pid_t child = start_child();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(children_of(child).any);
}

}  // namespace
}  // namespace masformer
