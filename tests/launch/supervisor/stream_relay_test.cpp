// What mpirun writes reaches the wrapper's stream in order, and a stream in any state never blocks
// or breaks the relay.
#include "launch/supervisor/stream_relay.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <pty.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "launch/output/standard_streams.h"
#include "runtime/error.h"

namespace masformer {
namespace {

std::string unchanged(std::string_view text) {
  return std::string(text);
}

class Pipe {
 public:
  explicit Pipe(int flags = 0) { require(pipe2(ends_.data(), flags) == 0, "no pipe"); }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  int release_read() { return std::exchange(ends_[0], -1); }
  void close_read() { close_end(0); }
  void close_write() { close_end(1); }

  void put(const std::string& text) const {
    ASSERT_EQ(write(ends_[1], text.data(), text.size()), std::ssize(text));
  }
  // Reads what is in the pipe, at most `most` bytes.
  std::string take(std::size_t most = 1 << 20) const {
    std::string text(most, '\0');
    const ssize_t size = read(ends_[0], text.data(), most);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }

 private:
  void close_end(std::size_t end) {
    if (ends_[end] >= 0) close(std::exchange(ends_[end], -1));
  }
  std::array<int, 2> ends_{};
};

TEST(StreamRelay, PassesFilteredTextOnInOrder) {
  Pipe source(O_NONBLOCK);
  const Pipe sink(O_NONBLOCK);
  StreamRelay relay(source.release_read(), sink.write_end(),
                    [](std::string_view text) { return "<" + std::string(text) + ">"; });
  EXPECT_EQ(relay.awaited_sink(), -1);
  source.put("one");
  relay.receive();
  relay.add(" and ");
  source.put("two");
  relay.receive();
  EXPECT_EQ(relay.awaited_sink(), sink.write_end());
  relay.send();
  EXPECT_EQ(sink.take(), "<one> and <two>");
  EXPECT_EQ(relay.awaited_sink(), -1);
  EXPECT_GE(relay.awaited_source(), 0);
  source.close_write();
  relay.receive();
  EXPECT_EQ(relay.awaited_source(), -1);  // the relay saw the end of the source
  EXPECT_EQ(relay.error(), 0);
}

// The sink blocks when written to: the relay must not.
TEST(StreamRelay, WaitsForASlowReaderWithoutBlocking) {
  Pipe source(O_NONBLOCK);
  const Pipe sink;
  StreamRelay relay(source.release_read(), sink.write_end(), unchanged);
  std::string sent, seen;
  for (int i = 0; i < 300; ++i) {  // far more than a pipe holds
    const std::string text(1000, static_cast<char>('a' + i % 26));
    source.put(text);
    relay.receive();
    relay.send();
    sent += text;
  }
  EXPECT_EQ(relay.awaited_sink(), sink.write_end());
  while (seen.size() < sent.size()) {
    seen += sink.take(5000);
    relay.send();
  }
  EXPECT_EQ(seen, sent);
  EXPECT_EQ(relay.awaited_sink(), -1);
}

// A terminal is writable as soon as it has room for one byte, and a write of more blocks.
TEST(StreamRelay, WaitsForAStoppedTerminalWithoutBlocking) {
  int reader = -1, terminal = -1;
  ASSERT_EQ(openpty(&reader, &terminal, nullptr, nullptr, nullptr), 0);
  alarm(20);  // ends this test if it blocks
  std::string seen(1 << 20, '\0');
  {
    Pipe source(O_NONBLOCK);
    StreamRelay relay(source.release_read(), terminal, unchanged);
    for (int line = 0; line < 5000; ++line) relay.add(std::string(79, 'x') + "\n");
    relay.send();
    EXPECT_GE(relay.awaited_sink(), 0);
    std::size_t size = 0;
    while (relay.awaited_sink() >= 0) {
      const ssize_t taken = read(reader, seen.data() + size, 5000);
      ASSERT_GT(taken, 0);
      size += static_cast<std::size_t>(taken);
      relay.send();
    }
    EXPECT_EQ(relay.error(), 0);
    EXPECT_GT(size, 5000u * 70);
  }
  EXPECT_EQ(fcntl(terminal, F_GETFL) & O_NONBLOCK, 0);  // other processes write to it, too
  alarm(0);
  close(reader);
  close(terminal);
}

// If each write moved the rest, half a terabyte would be moved.
TEST(StreamRelay, SendsMuchTextInLinearTime) {
  Pipe source(O_NONBLOCK);
  const int sink = open("/dev/null", O_WRONLY);
  StreamRelay relay(source.release_read(), sink, unchanged);
  const auto begin = std::clock();
  relay.add(std::string(64 << 20, 'x'));
  relay.send();
  EXPECT_EQ(relay.awaited_sink(), -1);
  EXPECT_LT(std::clock() - begin, 5 * CLOCKS_PER_SEC);
  close(sink);
}

TEST(StreamRelay, PausesReadingBehindAReaderThatStopped) {
  Pipe source(O_NONBLOCK);
  const Pipe sink;
  StreamRelay relay(source.release_read(), sink.write_end(), unchanged);
  relay.add(std::string(17 << 20, 'x'));
  relay.send();
  EXPECT_EQ(relay.awaited_source(), -1);
  source.put("more");
  relay.receive();
  while (relay.awaited_sink() >= 0) {
    ASSERT_GT(sink.take().size(), 0u);
    relay.send();
  }
  EXPECT_GE(relay.awaited_source(), 0);
  relay.receive();
  relay.send();
  std::string last;
  while (!last.ends_with("more")) {
    last = sink.take();
    relay.send();
  }
}

TEST(StreamRelay, DropsWhatABrokenStreamRefuses) {
  secure_standard_streams();  // SIGPIPE would end this test, too
  Pipe closed;
  closed.close_read();
  const int full = open("/dev/full", O_WRONLY), unwritable = open("/dev/null", O_RDONLY);
  for (const auto& [sink, error] :
       {std::pair{closed.write_end(), EPIPE}, {full, ENOSPC}, {unwritable, EBADF}}) {
    Pipe source(O_NONBLOCK);
    StreamRelay relay(source.release_read(), sink, unchanged);
    for (int i = 0; i < 3; ++i) {
      source.put("text");
      relay.receive();
      relay.send();
      EXPECT_EQ(relay.awaited_sink(), -1);
      EXPECT_GE(relay.awaited_source(), 0);
    }
    EXPECT_EQ(relay.error(), error);
  }
  close(full);
  close(unwritable);
}

}  // namespace
}  // namespace masformer
