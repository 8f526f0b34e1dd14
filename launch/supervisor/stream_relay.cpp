#include "launch/supervisor/stream_relay.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace masformer {
namespace {

// If this much waits for the sink, reading pauses, and the rest stays with mpirun.
constexpr std::size_t max_pending = 16 << 20;  // bytes

// If `sink` is a terminal, opens it again for non-blocking writes; else returns -1. `sink` itself
// can't be made non-blocking, because other processes share it.
int open_terminal_again(int sink) {
  if (isatty(sink) == 0) return -1;
  const std::string path = "/proc/self/fd/" + std::to_string(sink);
  return open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

// A broken descriptor counts as writable, because the write then reports the error.
bool is_writable(int descriptor) {
  pollfd state{descriptor, POLLOUT, 0};
  return poll(&state, 1, 0) > 0;
}

}  // namespace

StreamRelay::StreamRelay(int source, int sink, Filter filter)
    : source_(source),
      own_sink_(open_terminal_again(sink)),
      sink_(own_sink_ >= 0 ? own_sink_ : sink),
      filter_(std::move(filter)) {}

StreamRelay::~StreamRelay() {
  if (source_ >= 0) close(source_);
  if (own_sink_ >= 0) close(own_sink_);
}

int StreamRelay::awaited_source() const {
  return pending_size() < max_pending ? source_ : -1;
}

void StreamRelay::receive() {
  std::array<char, 4096> block{};
  while (awaited_source() >= 0) {
    const ssize_t size = read(source_, block.data(), block.size());
    if (size < 0) return;
    if (size == 0) {
      close(std::exchange(source_, -1));
      return;
    }
    pending_ += filter_({block.data(), static_cast<std::size_t>(size)});
  }
}

void StreamRelay::add(std::string_view text) {
  pending_ += text;
}

void StreamRelay::send() {
  while (pending_size() > 0 && is_writable(sink_)) {
    // A writable pipe or socket accepts this much without blocking; a terminal may not.
    const std::size_t size = std::min<std::size_t>(pending_size(), PIPE_BUF);
    const ssize_t written = write(sink_, pending_.data() + sent_, size);
    if (written >= 0) {
      drop(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    } else {
      error_ = errno;
      drop(pending_size());
    }
  }
}

// Moves what remains only when it is the smaller half, so that a byte is moved once on average.
void StreamRelay::drop(std::size_t size) {
  sent_ += size;
  if (sent_ < pending_.size() - sent_) return;
  pending_.erase(0, sent_);
  sent_ = 0;
}

}  // namespace masformer
