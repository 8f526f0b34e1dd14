// `masformer --version`, with plugins that are missing, damaged, or without NVIDIA's libraries.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "runtime/io/file.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

namespace fs = std::filesystem;

// The lines of `masformer --version` if `plugins` is the folder of the plugins.
std::vector<std::string> version_with(const fs::path& plugins) {
  const Finished finished =
      run({program(), "--version"}, {{"MASFORMER_PLUGINS", plugins.string()}});
  EXPECT_EQ(finished.status, 0) << finished.output;
  return lines_of(finished.output);
}

TEST(Version, NamesTheCommitAndTheLibraries) {
  const TemporaryDirectory empty;
  const auto lines = version_with(empty.path());
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_TRUE(lines[0].starts_with("masformer 0."));
  EXPECT_NE(lines[0].find(", commit "), std::string::npos);
  const std::vector<std::string> beginnings{"compiler  ", "MPI       Open MPI v", "HDF5      1.",
                                            "oneDNN    "};
  for (std::size_t i = 0; i < beginnings.size(); ++i) {
    EXPECT_TRUE(lines[i + 1].starts_with(beginnings[i])) << lines[i + 1];
  }
  EXPECT_NE(lines[1].find("-march="), std::string::npos);
  EXPECT_EQ(lines[5], "CUDA      no plugin beside the program");
  EXPECT_EQ(lines[6], "NCCL      no plugin beside the program");
}

// Runs git in this repository.
Finished git_here(std::vector<std::string> words) {
  words.insert(words.begin(), {"git", "-C", MASFORMER_SOURCE_DIR});
  return run(words);
}

std::string first_line(const Finished& finished) {
  return finished.output.substr(0, finished.output.find('\n'));
}

// Whether HEAD moved after the last build: then the program may name an earlier commit.
bool moved_since_the_build() {
  const fs::path moves = fs::path(MASFORMER_SOURCE_DIR) /
                         first_line(git_here({"rev-parse", "--git-path", "logs/HEAD"}));
  const fs::path built = fs::path(program()).parent_path() / ".ninja_log";
  return fs::exists(moves) && fs::exists(built) &&
         fs::last_write_time(moves) > fs::last_write_time(built);
}

// Each build looks up the commit.
TEST(Version, NamesTheCommitOfTheBuild) {
  const std::string version = run({program(), "--version"}).output;
  const Finished head = git_here({"rev-parse", "--short=12", "--verify", "HEAD"});
  if (head.status != 0) {
    EXPECT_NE(version.find(", commit unknown\n"), std::string::npos) << version;
  } else if (!moved_since_the_build()) {
    EXPECT_NE(version.find(", commit " + first_line(head)), std::string::npos) << version;
  }
}

// The commit that a build of the tree at `source` writes into the program.
std::string built_commit(const fs::path& source) {
  const TemporaryDirectory folder;
  const fs::path written = folder / "commit.cpp";
  const Finished finished =
      run({"cmake", "-DSOURCE=" + source.string(), "-DOUTPUT=" + written.string(), "-P",
           MASFORMER_SOURCE_DIR "/cmake/WriteCommit.cmake"});
  EXPECT_EQ(finished.status, 0) << finished.output;
  const std::string text = io::read_text(written);
  const std::string before = "return \"";
  const auto begin = text.find(before) + before.size();
  return text.substr(begin, text.find('"', begin) - begin);
}

TEST(Version, FollowsTheCommitOfEachBuild) {
  const TemporaryDirectory tree;
  EXPECT_EQ(built_commit(tree.path()), "unknown");
  const auto git = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"git", "-C", tree.path().string(), "-c", "user.name=a", "-c", "user.email=a@b"});
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.output;
    return finished.output;
  };
  git({"init", "--quiet"});
  std::ofstream(tree / "file") << "one";
  git({"add", "file"});
  std::string earlier;
  for (const std::string message : {"first", "second"}) {
    git({"commit", "--quiet", "--allow-empty", "--message", message});
    const std::string hash = git({"rev-parse", "--short=12", "HEAD"}).substr(0, 12);
    EXPECT_EQ(built_commit(tree.path()), hash);
    EXPECT_NE(hash, earlier);
    earlier = hash;
  }
  std::ofstream(tree / "file") << "two";
  EXPECT_EQ(built_commit(tree.path()), earlier + " (modified)");
  // As a source archive that is unpacked in another repository.
  fs::create_directories(tree / "archive");
  EXPECT_EQ(built_commit(tree / "archive"), "unknown");
}

TEST(Version, ReportsADamagedPlugin) {
  const TemporaryDirectory plugins;
  std::ofstream(plugins / "libmasformer_cuda.so") << "text";
  const std::string line = version_with(plugins.path())[5];
  EXPECT_TRUE(line.starts_with("CUDA      plugin present, ")) << line;
  EXPECT_NE(line.find("libmasformer_cuda.so"), std::string::npos) << line;
}

// A copy of the real plugin in which the name of one required library is altered.
TEST(Version, NamesTheLibraryThatAPluginMisses) {
  const fs::path plugin = fs::path(program()).parent_path() / "libmasformer_cuda.so";
  if (!fs::exists(plugin)) GTEST_SKIP() << "this build has no CUDA plugin";
  std::ifstream file(plugin, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  const std::string needed = "libcublasLt.so.";
  const auto at = bytes.find(needed);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, needed.size(), "libcublasXX.so.");
  const TemporaryDirectory plugins;
  std::ofstream(plugins / "libmasformer_cuda.so", std::ios::binary) << bytes;
  const std::string line = version_with(plugins.path())[5];
  EXPECT_TRUE(line.starts_with("CUDA      plugin present, built against CUDA ")) << line;
  EXPECT_NE(line.find("; libraries not found: "), std::string::npos) << line;
  EXPECT_NE(line.find("libcublasXX.so."), std::string::npos) << line;
}

}  // namespace
}  // namespace masformer::test
