#include "launch/training/signals.h"

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <initializer_list>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <unistd.h>

#include <fmt/format.h>

#include "runtime/error.h"

namespace masformer {
namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

// The message of this process about its stop; "" if another rank prints it. Reads the rank from the
// launcher's environment variables, because MPI may not be initialized yet. Under mpirun only rank
// 0 prints, because mpirun stops it, too, when any rank ends. srun may end the job silently, so
// there each rank prints. A process without a launcher prints; its MPI may set PMIX_RANK to 0.
std::string stop_message() {
  constexpr std::string_view stopped = "stopped before the first step; nothing was lost\n";
  for (const std::string_view name : {"OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMIX_RANK"}) {
    const char* const rank = std::getenv(name.data());
    if (rank == nullptr) continue;
    if (rank == std::string_view("0")) break;
    if (name.starts_with("OMPI")) return "";
    return fmt::format("masformer: rank {}: {}", rank, stopped);
  }
  return fmt::format("masformer: {}", stopped);
}

// Other threads may hold stdio's locks, so this avoids stdio and exit handlers. mpirun ends the
// other ranks and takes over the exit status.
[[noreturn]] void stop_now() {
  const std::string text = stop_message();
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
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
  // A signal stays pending after it was seen, so later calls see it, too.
  sigset_t pending;
  sigpending(&pending);
  const sigset_t set = stop_signals();
  sigset_t both;
  sigandset(&both, &pending, &set);
  return sigisemptyset(&both) == 0;
}

StopBeforeFirstStep::StopBeforeFirstStep() : watcher_(watch_for_stop) {}

}  // namespace masformer
