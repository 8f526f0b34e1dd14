#include "launch/supervisor/stream_relay.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace masformer {
namespace {

// With this much waiting for the sink, reading pauses, and mpirun keeps the rest.
constexpr std::size_t max_pending = 16 << 20;  // bytes

// A broken descriptor is writable, too: the write tells what is wrong with it.
bool is_writable(int descriptor) {
  pollfd state{descriptor, POLLOUT, 0};
  return poll(&state, 1, 0) > 0;
}

}  // namespace

StreamRelay::StreamRelay(int source, int sink, Filter filter)
    : source_(source), sink_(sink), filter_(std::move(filter)) {}

StreamRelay::~StreamRelay() {
  if (source_ >= 0) close(source_);
}

int StreamRelay::awaited_source() const {
  return pending_.size() < max_pending ? source_ : -1;
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
  while (!pending_.empty() && is_writable(sink_)) {
    // A pipe that is writable takes this much without blocking.
    const std::size_t size = std::min<std::size_t>(pending_.size(), PIPE_BUF);
    const ssize_t written = write(sink_, pending_.data(), size);
    if (written >= 0) {
      pending_.erase(0, static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    } else {
      error_ = errno;
      pending_.clear();
    }
  }
}

}  // namespace masformer
