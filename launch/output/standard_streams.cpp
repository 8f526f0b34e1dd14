#include "launch/output/standard_streams.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "runtime/error.h"

namespace masformer {
namespace {

// Returns whether all of it was written.
bool write_to(std::FILE* stream, std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stream) == text.size() &&
         std::fflush(stream) == 0;
}

}  // namespace

void secure_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    // open() uses the lowest free descriptor, which is this one. Read-only, so that writes fail.
    if (open("/dev/null", O_RDONLY) != descriptor) return;
  }
}

void write_result(std::string_view text) {
  if (write_to(stdout, text)) return;
  fail("standard output can't be written: {}", std::strerror(errno));
}

void write_notice(std::string_view text) {
  write_to(stdout, text);
}

void write_message(std::string_view text) {
  write_to(stderr, text);
}

}  // namespace masformer
