// Token stores written and read back by this program.
#include "data/token_store.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runtime/io/file.h"
#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

class RoundTrip : public testing::TestWithParam<std::int64_t> {};

// 1.2 million tokens: more than the writer buffers, and many blocks for the reader.
TEST_P(RoundTrip, KeepsTokensDocumentsAndNames) {
  const std::int64_t vocabulary = GetParam();
  const SampleStore sample = make_store({1, 700'000, 3, 499'999, 1}, vocabulary);
  const TokenStore store(sample.path);
  EXPECT_EQ(store.path(), sample.path);
  EXPECT_EQ(store.tokens(), 1'200'004);
  EXPECT_EQ(store.vocabulary(), vocabulary);
  EXPECT_EQ(store.largest_id(), vocabulary - 1);
  EXPECT_EQ(store.tokenizer(), "sample");
  EXPECT_EQ(store.documents(), (std::vector<std::uint64_t>{0, 1, 700'001, 700'004, 1'200'003}));
  EXPECT_EQ(read_all(store), sample.tokens);
  const auto width = vocabulary <= 65536 ? 2 : 4;
  EXPECT_NEAR(static_cast<double>(fs::file_size(sample.path)), width * 1'200'004.0, 10'000);
  for (const auto& [begin, count] : {std::pair{0, 1}, {8191, 2}, {8192, 8192}, {699'990, 50'000}}) {
    std::vector<std::int32_t> part(static_cast<std::size_t>(count));
    store.read(begin, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), sample.tokens.begin() + begin)) << begin;
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, RoundTrip, testing::Values(2, 257, 65536, 65537, 1LL << 31));

TEST(TokenStore, RefusesToReadOutside) {
  const SampleStore sample = make_store({10});
  const TokenStore store(sample.path);
  std::vector<std::int32_t> out(4);
  for (const std::int64_t begin : {-1, 7, 10, 1000}) EXPECT_THROW(store.read(begin, out), Error);
  EXPECT_NO_THROW(store.read(6, out));
}

TEST(TokenStore, IsReadFromSeveralThreads) {
  const SampleStore sample = make_store({50'000, 50'000});
  const TokenStore store(sample.path);
  std::vector<std::vector<std::int32_t>> seen(4);
  std::vector<std::thread> threads;
  threads.reserve(seen.size());
  for (auto& tokens : seen) threads.emplace_back([&] { tokens = read_all(store); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& tokens : seen) EXPECT_EQ(tokens, sample.tokens);
}

TEST(TokenStore, RefusesAFileThatIsCutOffAnywhere) {
  const SampleStore sample = make_store({100, 60, 40});
  const std::string whole = read_bytes(sample.path);
  for (std::size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 61) {
    write_bytes(sample.path, whole.substr(0, length));
    const auto message = message_of<UsageError>([&] { TokenStore{sample.path}; });
    EXPECT_NE(message.find(sample.path.string()), std::string::npos) << length << ": " << message;
  }
}

TEST(TokenStore, FailsToReadAFileThatIsCutOffWhileOpen) {
  const SampleStore sample = make_store({5000});
  const TokenStore store(sample.path);
  fs::resize_file(sample.path, fs::file_size(sample.path) - 2000);
  EXPECT_NE(message_of<Error>([&] { read_all(store); }).find("cut off"), std::string::npos);
}

TEST(TokenStore, DigestChangesWithEveryTokenAndDocument) {
  const SampleStore sample = make_store({12, 8});
  const std::string digest = TokenStore(sample.path).digest();
  EXPECT_EQ(digest.size(), 32u);
  EXPECT_EQ(TokenStore(sample.path).digest(), digest);
  std::set<std::string> digests = {digest};
  const auto insert_store = [&](std::vector<std::uint32_t> ids, std::size_t border) {
    TokenStoreWriter writer(sample.path, "sample", 257);
    writer.add_document(std::span(ids).first(border));
    writer.add_document(std::span(ids).subspan(border));
    writer.commit();
    digests.insert(TokenStore(sample.path).digest());
  };
  const std::vector<std::uint32_t> ids(sample.tokens.begin(), sample.tokens.end());
  for (std::size_t border = 1; border < 20; ++border) insert_store(ids, border);  // 12 is the same
  for (std::size_t i = 0; i < 20; ++i) {
    std::vector<std::uint32_t> changed = ids;
    changed[i] = (changed[i] + 1) % 257;
    insert_store(changed, 12);
  }
  EXPECT_EQ(digests.size(), 1u + 18u + 20u);
}

// The last id, 256, gets another high byte. Reading it fails, and so does the digest, which is
// computed before any window is read.
TEST(TokenStore, RefusesAnIdAboveTheLargest) {
  const SampleStore sample = make_store({20'000});
  std::string bytes = read_bytes(sample.path);
  bytes[bytes.rfind('\x01')] = '\x7f';
  write_bytes(sample.path, bytes);
  const TokenStore store(sample.path);
  const std::string complaint =
      sample.path.string() +
      ": token 19999 is 32512, but the largest id is 256: the file is damaged; prepare it again";
  EXPECT_EQ(message_of<Error>([&] { read_all(store); }), complaint);
  EXPECT_EQ(message_of<UsageError>([&] { store.digest(); }), complaint);
}

TEST(TokenStoreWriter, LeavesNothingWithoutCommit) {
  const TemporaryDirectory folder;
  const std::vector<std::uint32_t> ids(2'000'000, 7);
  {
    TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
    writer.add_document(ids);
    EXPECT_TRUE(fs::is_empty(folder.path())) << "a crash would leave nothing";
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(TokenStoreWriter, ReplacesOnlyWhenComplete) {
  const SampleStore sample = make_store({10});
  const std::string before = read_bytes(sample.path);
  const std::vector<std::uint32_t> ids = {1, 2, 3};
  {
    TokenStoreWriter writer(sample.path, "byte", 257);
    writer.add_document(ids);
    EXPECT_EQ(read_bytes(sample.path), before);
    writer.commit();
    EXPECT_EQ(TokenStore(sample.path).tokens(), 3);
    EXPECT_THROW(writer.commit(), Error);
    EXPECT_THROW(writer.add_document(ids), Error);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(sample.folder.path()), {}), 1);
}

TEST(TokenStoreWriter, KeepsTheOldStoreWhereTheNewOneIsEmpty) {
  const SampleStore sample = make_store({10});
  TokenStoreWriter writer(sample.path, "byte", 257);
  EXPECT_NE(message_of<UsageError>([&] { writer.commit(); }).find("no tokens"), std::string::npos);
  EXPECT_EQ(read_all(TokenStore(sample.path)), sample.tokens);
}

// While an object exists, no file can grow beyond `bytes`, which the writer sees as a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(TokenStoreWriter, KeepsTheOldStoreWhereTheDiskIsFull) {
  const SampleStore sample = make_store({10});
  const std::vector<std::uint32_t> ids(1'000'000, 7);
  {
    TokenStoreWriter writer(sample.path, "byte", 257);
    const FileSizeLimit limit(1'000'000);
    EXPECT_NE(message_of<Error>([&] { writer.add_document(ids); }).find("can't write"),
              std::string::npos);
  }
  {
    TokenStoreWriter writer(sample.path, "byte", 257);
    writer.add_document(ids);
    const FileSizeLimit limit(1'000'000);
    EXPECT_NE(message_of<Error>([&] { writer.commit(); }).find("can't write"), std::string::npos);
  }
  EXPECT_EQ(read_all(TokenStore(sample.path)), sample.tokens);
  EXPECT_EQ(std::distance(fs::directory_iterator(sample.folder.path()), {}), 1);
}

TEST(TokenStoreWriter, LeavesNothingWhereTheRenameFails) {
  const TemporaryDirectory folder;
  {
    TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
    writer.add_document(std::vector<std::uint32_t>{1, 2});
    fs::create_directories(folder / "tokens.h5/in the way");
    EXPECT_NE(message_of<Error>([&] { writer.commit(); }).find("can't write"), std::string::npos);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

// The signal is pending when the commit starts, as if it came during the commit.
TEST(TokenStoreWriter, RemovesItsFileWhereASignalStopsIt) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const TemporaryDirectory folder;
    TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
    writer.add_document(std::vector<std::uint32_t>{1, 2});
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    raise(signal);
    EXPECT_NE(message_of<Error>([&] { writer.commit(); }).find("a signal stopped `prepare`"),
              std::string::npos);
    EXPECT_TRUE(fs::is_empty(folder.path()));
    const timespec at_once{};
    EXPECT_EQ(sigtimedwait(&set, nullptr, &at_once), signal) << "the signal must stay pending";
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
}

TEST(TokenStoreWriter, IsNotStoppedByAnIgnoredSignal) {
  const TemporaryDirectory folder;
  TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
  writer.add_document(std::vector<std::uint32_t>{1, 2});
  const auto before = std::signal(SIGHUP, SIG_IGN);  // as nohup does
  sigset_t set, mask;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, &mask);
  raise(SIGHUP);
  EXPECT_NO_THROW(writer.commit());
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  std::signal(SIGHUP, before);
  EXPECT_EQ(TokenStore(folder / "tokens.h5").tokens(), 2);
}

// SIGTERM during a commit leaves nothing; SIGKILL leaves the file, which the next writer removes.
// The test repeats until the signal arrives during the commit.
TEST(TokenStoreWriter, LeavesItsFileOnlyAfterSigkill) {
  const std::vector<std::uint32_t> ids(20'000'000, 7);
  for (const int signal : {SIGTERM, SIGKILL}) {
    const TemporaryDirectory folder;
    bool stopped = false;
    for (int attempt = 0; attempt < 20 && !stopped; ++attempt) {
      const pid_t child = fork();
      if (child == 0) {
        TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
        writer.add_document(ids);
        writer.commit();
        _exit(0);
      }
      const fs::path temporary = folder / fmt::format(".tokens.h5.writing-{}", child);
      // Once it is larger than the frame, the tokens are being copied.
      std::error_code none_yet;
      for (int i = 0; i < 100'000; ++i) {
        const auto size = fs::file_size(temporary, none_yet);
        if (!none_yet && size > 1'000'000) break;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      kill(child, signal);
      int status = 0;
      waitpid(child, &status, 0);
      EXPECT_EQ(fs::exists(temporary),
                WIFSIGNALED(status) && signal == SIGKILL && !fs::exists(folder / "tokens.h5"));
      stopped = WIFSIGNALED(status) && !fs::exists(folder / "tokens.h5");
      fs::remove(folder / "tokens.h5");
    }
    EXPECT_TRUE(stopped) << "signal " << signal;
    const TokenStoreWriter next(folder / "tokens.h5", "byte", 257);
    EXPECT_TRUE(fs::is_empty(folder.path())) << "the next writer removes it";
  }
}

// A process in another container with the same folder may have this process's number.
TEST(TokenStoreWriter, LeavesAFileThatAnotherProcessOfItsNumberWrites) {
  const TemporaryDirectory folder;
  const fs::path temporary = folder / fmt::format(".tokens.h5.writing-{}", getpid());
  TokenStoreWriter earlier(folder / "tokens.h5", "byte", 257);
  earlier.add_document(std::vector<std::uint32_t>{1, 2});
  write_bytes(temporary, "theirs");
  {
    const io::File theirs(temporary, O_RDWR);
    ASSERT_EQ(flock(theirs.descriptor(), LOCK_EX | LOCK_NB), 0);
    for (const std::string& message :
         {message_of<UsageError>([&] { earlier.commit(); }),
          message_of<UsageError>([&] { TokenStoreWriter(folder / "tokens.h5", "byte", 257); })}) {
      EXPECT_NE(message.find("is in use by another process"), std::string::npos) << message;
    }
    ASSERT_TRUE(fs::exists(temporary));
    EXPECT_EQ(fs::file_size(temporary), 6u);
  }
  earlier.commit();
  EXPECT_EQ(TokenStore(folder / "tokens.h5").tokens(), 2);
}

TEST(TokenStoreWriter, RemovesOnlyFilesOfEndedProcesses) {
  const TemporaryDirectory folder;
  const pid_t ended = fork();
  if (ended == 0) _exit(0);
  waitpid(ended, nullptr, 0);
  const std::string left = fmt::format(".tokens.h5.writing-{}", ended);
  const std::vector<std::string> others{fmt::format(".tokens.h5.writing-{}", getppid()),  // running
                                        fmt::format(".other.h5.writing-{}", ended), left + "x",
                                        ".tokens.h5.writing-", ".tokens.h5.writing--1"};
  write_bytes(folder / left, "x");
  for (const std::string& name : others) write_bytes(folder / name, "x");
  { const TokenStoreWriter writer(folder / "tokens.h5", "byte", 257); }
  EXPECT_FALSE(fs::exists(folder / left));
  for (const std::string& name : others) EXPECT_TRUE(fs::exists(folder / name)) << name;
  // No process here has the number, but the file is locked: by another host or container.
  write_bytes(folder / left, "x");
  const io::File locked(folder / left, O_RDONLY);
  ASSERT_EQ(flock(locked.descriptor(), LOCK_EX | LOCK_NB), 0);
  { const TokenStoreWriter writer(folder / "tokens.h5", "byte", 257); }
  EXPECT_TRUE(fs::exists(folder / left));
}

TEST(TokenStoreWriter, RefusesWhatItCannotHold) {
  const TemporaryDirectory folder;
  TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
  EXPECT_THROW(writer.add_document({}), Error);
  EXPECT_THROW(writer.add_document(std::vector<std::uint32_t>{1, 257}), Error);
  EXPECT_EQ(writer.documents(), 0);
}

TEST(TokenStoreWriter, RefusesAPathThatCanNotBeAFile) {
  const TemporaryDirectory folder;
  write_bytes(folder / "file", "x");
  const auto place = [](const fs::path& path) {
    return message_of<UsageError>([&] { TokenStoreWriter(path, "byte", 257); });
  };
  EXPECT_NE(place(folder / "missing/tokens.h5").find("create it first"), std::string::npos);
  EXPECT_NE(place(folder / "file/tokens.h5").find("create it first"), std::string::npos);
  EXPECT_NE(place(folder.path()).find("is a folder"), std::string::npos);
  EXPECT_NE(place(folder / "").find("is a folder"), std::string::npos);
  EXPECT_NE(place("/proc/tokens.h5").find("can't"), std::string::npos);
}

}  // namespace
}  // namespace masformer::test
