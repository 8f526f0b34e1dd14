#include "launch/training/signals.h"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <initializer_list>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <unistd.h>

#include "runtime/error.h"

namespace masformer {
namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

// By the launcher's word: MPI may not have started yet. A process that nobody launched is the
// first.
bool is_first_rank() {
  for (const char* const name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"}) {
    if (const char* const rank = std::getenv(name)) return rank == std::string_view("0");
  }
  return true;
}

// Other threads may hold stdio's locks, so this avoids stdio and exit handlers. mpirun ends the
// other ranks and takes over the exit status.
[[noreturn]] void stop_now() {
  constexpr std::string_view text = "masformer: stopped before the first step; nothing was lost\n";
  if (is_first_rank()) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  }
  _exit(static_cast<int>(ExitCode::interrupted));
}

void watch_for_stop(const std::stop_token& training_begins) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  while (!training_begins.stop_requested()) {
    if (stop_requested()) stop_now();
    changed.wait_for(lock, training_begins, std::chrono::milliseconds(100), [] { return false; });
  }
}

}  // namespace

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGXCPU}) sigaddset(&set, signal);
  for (const int signal : {SIGINT, SIGHUP}) {
    if (!is_ignored(signal)) sigaddset(&set, signal);
  }
  return set;
}

void hold_stop_signals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool stop_requested() {
  // A pending signal is left pending, and so remembered.
  sigset_t pending;
  sigpending(&pending);
  const sigset_t set = stop_signals();
  sigset_t both;
  sigandset(&both, &pending, &set);
  return sigisemptyset(&both) == 0;
}

StopBeforeFirstStep::StopBeforeFirstStep() : watcher_(watch_for_stop) {}

}  // namespace masformer
