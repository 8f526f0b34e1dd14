#include "launch/signals.h"

#include <csignal>
#include <initializer_list>

namespace masformer {
namespace {

volatile std::sig_atomic_t requested = 0;

extern "C" void note_stop(int) {
  requested = 1;
}

}  // namespace

void note_stop_signals() {
  struct sigaction action {};
  action.sa_handler = note_stop;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
}

bool stop_requested() {
  return requested != 0;
}

}  // namespace masformer
