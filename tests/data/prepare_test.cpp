// `prepare`: which files it reads, in which order, where documents end, and what it refuses.
#include "data/prepare.h"

#include <chrono>
#include <cmath>
#include <map>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

class Prepare : public testing::Test {
 protected:
  Prepare() { options.output = folder / "out.h5"; }

  void write(const fs::path& name, const std::string& text) {
    fs::create_directories((folder / name).parent_path());
    write_bytes(folder / name, text);
  }
  PrepareResult run() { return prepare(options); }
  std::string refusal() {
    return message_of<UsageError>([this] { run(); });
  }
  // The documents of the store, as text, without the end-of-document tokens.
  std::vector<std::string> documents() const {
    const TokenStore store(options.output);
    std::vector<std::string> texts(1);
    for (const std::int32_t id : read_all(store)) {
      if (id == 256) {
        texts.emplace_back();
      } else {
        texts.back() += static_cast<char>(id);
      }
    }
    EXPECT_EQ(texts.back(), "") << "the last token ends a document";
    texts.pop_back();
    EXPECT_EQ(texts.size(), store.documents().size());
    return texts;
  }

  using Texts = std::vector<std::string>;
  TemporaryDirectory folder;
  PrepareOptions options;
};

TEST_F(Prepare, TakesFilesInTheOrderOfTheirPathsEachOnce) {
  write("in/b.txt", "B");
  write("in/a/z.txt", "AZ");
  write("in/a/b/c.txt", "ABC");
  write("in/a.txt", "A");
  write("in/empty.txt", "");
  write("other", "other");
  fs::create_directory_symlink(folder / "in", folder / "in/a/loop");
  fs::create_symlink(folder / "nowhere", folder / "in/dangling");
  fs::create_symlink(folder / "other", folder / "in/link.txt");
  options.inputs = {folder / "other", folder / "in", folder / "in/a/../b.txt", folder / "in/a"};
  const PrepareResult result = run();
  EXPECT_EQ(documents(), (Texts{"ABC", "AZ", "A", "B", "other"}));
  EXPECT_EQ(result.files, 6);
  EXPECT_EQ(result.documents, 5);
  EXPECT_EQ(result.tokens, 3 + 2 + 1 + 1 + 5 + 5);
  const TokenStore store(options.output);
  EXPECT_EQ(store.tokenizer(), "byte");
  EXPECT_EQ(store.vocabulary(), 257);
}

TEST_F(Prepare, TakesAFileOnceUnderEverySpelling) {
  write("a.txt", "text");
  fs::create_directory(folder / "sub");
  fs::create_hard_link(folder / "a.txt", folder / "linked.txt");
  fs::create_symlink("a.txt", folder / "symbolic.txt");
  options.inputs = {folder / "a.txt",        folder / "./a.txt",
                    folder / "sub/../a.txt", fs::relative(folder / "a.txt"),
                    folder / "linked.txt",   folder / "symbolic.txt"};
  EXPECT_EQ(run().files, 1);
  EXPECT_EQ(documents(), Texts{"text"});
}

// A document that is larger than the memory that the process may use.
TEST_F(Prepare, NamesTheFileThatDoesNotFitInMemory) {
#ifdef MASFORMER_SANITIZED
  GTEST_SKIP() << "sanitizers need more address space than this test allows";
#endif
  write("a.txt", "");
  fs::resize_file(folder / "a.txt", 1 << 30);  // zeros, which take no room on the disk
  options.inputs = {folder / "a.txt"};
  const pid_t child = fork();
  if (child == 0) {
    const rlimit little{256 << 20, 256 << 20};
    setrlimit(RLIMIT_AS, &little);
    std::ofstream(folder / "message") << refusal();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  const std::string message = read_bytes(folder / "message");
  EXPECT_NE(message.find("not enough memory for a document of " + (folder / "a.txt").string()),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("--separator"), std::string::npos) << message;
}

TEST_F(Prepare, DoesNotReadItsOwnOutput) {
  write("a.txt", "text");
  options.inputs = {folder.path()};
  run();
  const std::string first = read_bytes(options.output);
  EXPECT_EQ(run().files, 1);
  EXPECT_EQ(read_bytes(options.output), first);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);
}

TEST_F(Prepare, DoesNotOverwriteItsInput) {
  write("a.txt", "precious");
  options.inputs = {folder / "a.txt"};
  options.output = folder / "./a.txt";
  EXPECT_NE(refusal().find("a.txt would be overwritten: name another --output"), std::string::npos);
  EXPECT_EQ(read_bytes(folder / "a.txt"), "precious");
}

TEST_F(Prepare, ReplacesOnlyTokenStores) {
  write("a.txt", "text");
  options.inputs = {folder / "a.txt"};
  write("out.h5", "");
  EXPECT_FALSE(run().replaced);
  EXPECT_TRUE(run().replaced);
  const std::string store = read_bytes(options.output);
  for (const std::string& text : {std::string("notes"), store.substr(0, 7), "x" + store}) {
    write("out.h5", text);
    EXPECT_NE(refusal().find("out.h5 exists and is not a token store"), std::string::npos);
    EXPECT_EQ(read_bytes(options.output), text);
  }
}

// HDF5, which may crash on such a file, is not used to recognize them.
TEST_F(Prepare, ReplacesDamagedStores) {
  write("a.txt", "text");
  options.inputs = {folder / "a.txt"};
  run();
  const std::string store = read_bytes(options.output);
  ASSERT_GT(store.size(), 200u);
  std::string spoiled = store;
  for (std::size_t i = 8; i < spoiled.size(); ++i) spoiled[i] = static_cast<char>(mix(1, i));
  for (const std::string& damaged :
       {store.substr(0, 8), store.substr(0, store.size() / 2), spoiled}) {
    write("out.h5", damaged);
    EXPECT_TRUE(run().replaced);
    EXPECT_EQ(read_bytes(options.output), store);
  }
}

TEST_F(Prepare, GivesTheSameBytesAtAnotherTime) {
  write("a.txt", "text");
  options.inputs = {folder / "a.txt"};
  run();
  const std::string store = read_bytes(options.output);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  run();
  EXPECT_TRUE(read_bytes(options.output) == store);
}

TEST_F(Prepare, TakesOnlyFilesWithTheSuffixesFromFolders) {
  write("in/a.rst.txt", "1");
  write("in/b.txt", "2");
  write("in/c.md", "3");
  write("d.html", "4");
  options.inputs = {folder / "in", folder / "d.html"};
  options.suffixes = {".rst.txt", ".md"};
  run();
  EXPECT_EQ(documents(), (Texts{"4", "1", "3"}));
  options.inputs = {folder / "in"};
  options.suffixes = {".none"};
  EXPECT_NE(refusal().find("no document"), std::string::npos);
}

TEST_F(Prepare, KeepsEveryByte) {
  using std::string_literals::operator""s;
  const std::string text = "\xEF\xBB\xBFone\r\n\r\n\0 \u4e2d\n\0\t end"s;
  ASSERT_EQ(text.size(), 22u);
  write("a.txt", text);
  options.inputs = {folder / "a.txt"};
  run();
  EXPECT_EQ(documents(), Texts{text});
}

class Separator : public Prepare, public testing::WithParamInterface<int> {};

// The size of the blocks in which a file is read makes no difference.
TEST_P(Separator, EndsDocuments) {
  write("a.txt", "one\n--\n--\n\ntwo -- \n---\n--\r\nthr\u00e9e\n --\n--");
  write("b.txt", "--\nno line end");
  options.inputs = {folder / "a.txt", folder / "b.txt"};
  options.separator = "--";
  options.block_bytes = GetParam();
  EXPECT_EQ(run().documents, 4);
  EXPECT_EQ(documents(), (Texts{"one\n", "\ntwo -- \n---\n", "thr\u00e9e\n --\n", "no line end"}));
}

INSTANTIATE_TEST_SUITE_P(Blocks, Separator, testing::Values(1, 2, 3, 5, 7, 16, 1 << 20));

TEST_F(Prepare, ListsAllBadInputsAndKeepsTheOldOutput) {
  write("out.h5", "the old store");
  write("in/good.txt", "good");
  write("in/latin.txt", std::string(1000, 'x') + "\xE9t\xE9");
  write("in/cut.txt", "\u4e2d\xE4\xB8");
  for (const int block : {1, 64, 1 << 20}) {
    options.block_bytes = block;
    options.inputs = {folder / "missing", folder / "in", folder / "gone"};
    const std::string message = refusal();
    for (const char* part :
         {"missing: No such file", "gone: No such file", "latin.txt is not UTF-8 text at byte 1000",
          "cut.txt is not UTF-8 text at byte 3"}) {
      EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
    }
    EXPECT_EQ(message.find("good"), std::string::npos);
    EXPECT_EQ(read_bytes(options.output), "the old store");
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 2);
}

TEST_F(Prepare, RefusesUnusableOptions) {
  write("empty.txt", "");
  options.inputs = {folder / "empty.txt"};
  EXPECT_NE(refusal().find("no document in " + (folder / "empty.txt").string()), std::string::npos);
  options.separator = "a\nb";
  EXPECT_NE(refusal().find("separator"), std::string::npos);
  options.separator = "";
  options.tokenizer = "words";
  EXPECT_NE(refusal().find("no tokenizer \"words\""), std::string::npos);
  options.tokenizer = "byte";
  options.output = folder / "missing/out.h5";
  EXPECT_NE(refusal().find("create it first"), std::string::npos);
}

TEST_F(Prepare, ReportsTheUnigramEntropy) {
  // Eight letters, seven times each, and one end of a document.
  std::string text;
  for (int i = 0; i < 56; ++i) text += static_cast<char>('a' + i % 8);
  write("a.txt", text);
  options.inputs = {folder / "a.txt"};
  const double p = 7.0 / 57, end = 1.0 / 57;
  EXPECT_NEAR(run().unigram_entropy, -8 * p * std::log(p) - end * std::log(end), 1e-14);
}

// Several blocks, with characters of every length across their borders.
TEST_F(Prepare, StreamsLargeFiles) {
  std::string text;
  while (text.size() < 3'500'000) text += "a\u00e9\u4e2d\U0001F600 line of text\n";
  write("a.txt", text);
  options.inputs = {folder / "a.txt"};
  EXPECT_EQ(run().tokens, static_cast<std::int64_t>(text.size()) + 1);
  EXPECT_EQ(documents(), Texts{text});
}

}  // namespace
}  // namespace masformer::test
