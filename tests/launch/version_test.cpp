// `masformer --version`, with plugins that are missing, damaged, or without NVIDIA's libraries.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

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

// Each build looks up the commit, and tests run after a build.
TEST(Version, FollowsTheCommit) {
  const Finished git =
      run({"git", "-C", MASFORMER_SOURCE_DIR, "rev-parse", "--short=12", "--verify", "HEAD"});
  const std::string version = run({program(), "--version"}).output;
  if (git.status != 0) {
    EXPECT_NE(version.find(", commit unknown\n"), std::string::npos) << version;
    return;
  }
  const std::string hash = git.output.substr(0, git.output.find('\n'));
  EXPECT_NE(version.find(", commit " + hash), std::string::npos) << version;
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
