#include "launch/training/signals.h"

#include <csignal>
#include <ctime>
#include <initializer_list>

namespace masformer {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) sigaddset(&set, signal);
  return set;
}

}  // namespace

void hold_stop_signals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool stop_requested() {
  // A pending signal is left pending: that is the memory of the request.
  sigset_t pending;
  sigpending(&pending);
  const sigset_t set = stop_signals();
  sigset_t both;
  sigandset(&both, &pending, &set);
  return sigisemptyset(&both) == 0;
}

}  // namespace masformer
