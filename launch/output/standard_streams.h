// The standard streams, whatever state they are in: closed, full, or a pipe without a reader. They
// never end a run.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace masformer {

// Call it first in main(). Occupies the descriptors 0 to 2 that are closed, so that no file opened
// later is mistaken for a standard stream; writing to them still fails with EBADF. Ignores SIGPIPE,
// so that writing to a pipe without a reader fails with EPIPE.
void secure_standard_streams();

// Writes to standard output what a command was asked for. Throws Error if it can't all be written.
void write_result(std::string_view text);
// Write what is only informative, and drop what can't be written.
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
