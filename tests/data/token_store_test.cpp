// Token stores written and read back by this program.
#include "data/token_store.h"

#include <csignal>
#include <filesystem>
#include <set>
#include <sys/resource.h>
#include <thread>

#include <gtest/gtest.h>

#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

class RoundTrip : public testing::TestWithParam<std::int64_t> {};

// 1.2 million tokens: more than the writer keeps before it writes, and many reading blocks.
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

TEST(TokenStore, CutOffAnywhereIsRefused) {
  const SampleStore sample = make_store({100, 60, 40});
  const std::string whole = read_bytes(sample.path);
  for (std::size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 61) {
    write_bytes(sample.path, whole.substr(0, length));
    const auto message = message_of<UsageError>([&] { TokenStore{sample.path}; });
    EXPECT_NE(message.find(sample.path.string()), std::string::npos) << length << ": " << message;
  }
}

TEST(TokenStore, CutOffWhileOpenFailsToRead) {
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

TEST(TokenStore, DamagedIdDoesNotReachTheModel) {
  const SampleStore sample = make_store({200});
  std::string bytes = read_bytes(sample.path);
  bytes[bytes.rfind('\x01')] = '\x7f';  // the high byte of the last id, 256, at the file's end
  write_bytes(sample.path, bytes);
  const TokenStore store(sample.path);
  EXPECT_NE(message_of<Error>([&] { read_all(store); }).find("damaged"), std::string::npos);
}

TEST(TokenStoreWriter, LeavesNothingWithoutCommit) {
  const TemporaryDirectory folder;
  const std::vector<std::uint32_t> ids(2'000'000, 7);
  {
    TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
    writer.add_document(ids);
    EXPECT_TRUE(fs::is_empty(folder.path())) << "even a crash leaves nothing";
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

TEST(TokenStoreWriter, FailedCommitLeavesTheOldStore) {
  const SampleStore sample = make_store({10});
  TokenStoreWriter writer(sample.path, "byte", 257);
  EXPECT_NE(message_of<UsageError>([&] { writer.commit(); }).find("no tokens"), std::string::npos);
  EXPECT_EQ(read_all(TokenStore(sample.path)), sample.tokens);
}

// While one lives, no file can grow beyond `bytes`: what a full disk looks like to the writer.
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

TEST(TokenStoreWriter, NoSpaceFailsAndLeavesTheOldStore) {
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

TEST(TokenStoreWriter, FailedRenameLeavesNothing) {
  const TemporaryDirectory folder;
  {
    TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
    writer.add_document(std::vector<std::uint32_t>{1, 2});
    fs::create_directories(folder / "tokens.h5/in the way");
    EXPECT_NE(message_of<Error>([&] { writer.commit(); }).find("can't write"), std::string::npos);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(TokenStoreWriter, RefusesWhatItCannotHold) {
  const TemporaryDirectory folder;
  TokenStoreWriter writer(folder / "tokens.h5", "byte", 257);
  EXPECT_THROW(writer.add_document({}), Error);
  EXPECT_THROW(writer.add_document(std::vector<std::uint32_t>{1, 257}), Error);
  EXPECT_EQ(writer.documents(), 0);
}

TEST(TokenStoreWriter, RefusesAPlaceThatIsNone) {
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
