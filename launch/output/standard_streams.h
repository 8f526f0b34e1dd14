// Writes to the standard streams so that they never end a run, even if one is closed, full, or a
// pipe without a reader.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace masformer {

// Call it first in main(). Opens /dev/null for each of the descriptors 0 to 2 that is closed, so
// that no file opened later is mistaken for a standard stream; writing to it still fails with
// EBADF. Ignores SIGPIPE, so that writing to a pipe without a reader fails with EPIPE.
void secure_standard_streams();

// Writes a command's result to standard output. Throws Error if not all of it can be written.
void write_result(std::string_view text);
// Write information that nothing depends on; what can't be written is dropped.
void write_notice(std::string_view text);   // to standard output
void write_message(std::string_view text);  // to standard error

template <class... Args>
void print_result(fmt::format_string<Args...> format, Args&&... args) {
  write_result(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void print_notice(fmt::format_string<Args...> format, Args&&... args) {
  write_notice(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void print_message(fmt::format_string<Args...> format, Args&&... args) {
  write_message(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace masformer
