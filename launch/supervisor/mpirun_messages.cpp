#include "launch/supervisor/mpirun_messages.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace masformer {
namespace {

// Dropped, because the ranks' own messages and the exit status say the same.
constexpr std::array<std::string_view, 5> noise{
    "Primary job  terminated normally, but",
    "mpirun detected that one or more processes exited with non-zero status",
    "MPI_ABORT was invoked on rank",
    "mpirun: Forwarding signal",
    "mpirun: abort is already in progress",
};

bool is_rule(std::string_view line) {
  return line.size() > 70 && line.find_first_not_of("-\n") == std::string_view::npos;
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string ended_by(int signal) {
  return fmt::format("exited on signal {} ", signal);
}

}  // namespace

bool MpirunMessages::is_noise(std::string_view text) const {
  return std::ranges::any_of(noise, [&](std::string_view part) { return holds(text, part); }) ||
         (stopping_ && holds(text, ended_by(SIGUSR1)));
}

void MpirunMessages::take_line(const std::string& line, std::string& shown) {
  const bool inside = !message_.empty();
  if (!inside && !is_rule(line)) {
    unknown_option_ |= line.starts_with("mpirun: Error: unknown option");
    if (!line.starts_with("mpirun: ") || !is_noise(line)) shown += line;
    return;
  }
  message_ += line;
  if (!inside || !is_rule(line)) return;
  if (holds(message_, "exited on signal")) told_ += message_;
  if (!is_noise(message_)) shown += message_;
  message_.clear();
}

std::string MpirunMessages::pass(std::string_view piece) {
  std::string shown;
  for (const char c : piece) {
    line_ += c;
    if (c == '\n') take_line(std::exchange(line_, {}), shown);
  }
  return shown;
}

std::string MpirunMessages::rest() {
  return std::exchange(message_, {}) + std::exchange(line_, {});
}

bool MpirunMessages::told_of_signal(int signal) const {
  return holds(told_, ended_by(signal));
}

}  // namespace masformer
