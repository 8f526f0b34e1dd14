// The command line and environment with which `masformer run` starts mpirun.
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/support/fake_mpirun.h"

namespace masformer::test {
namespace {

// The names after -x.
std::set<std::string> passed_on(const std::string& line) {
  std::istringstream words(line);
  std::set<std::string> names;
  for (std::string word; words >> word;) {
    if (word == "-x" && words >> word) names.insert(word);
  }
  return names;
}

TEST(RunCommand, PassesSettingsOnToOtherHostsButNotTheHostsOwn) {
  FakeMpirun mpirun("echo \"$@\"");
  const std::set<std::string> settings{"MASFORMER_A", "OMP_B",           "NCCL_C",
                                       "CUDA_HOME",   "LD_LIBRARY_PATH", "PATH"};
  const std::set<std::string> own{"CUDA_VISIBLE_DEVICES", "NCCL_HOSTID", "NVIDIA_D"};
  for (const auto& names : {settings, own}) {
    for (const std::string& name : names) mpirun.environment.try_emplace(name, "0");
  }
  mpirun.words.insert(mpirun.words.begin() + 4, {"--hostfile", "hosts"});
  const Finished finished = run(mpirun.words, mpirun.environment);
  EXPECT_EQ(finished.status, 0) << finished.output;
  const std::set<std::string> names = passed_on(finished.output);
  for (const std::string& name : settings) EXPECT_TRUE(names.contains(name)) << name;
  for (const std::string& name : own) EXPECT_FALSE(names.contains(name)) << name;
  EXPECT_NE(finished.output.find("--hostfile hosts " + program() + " train"), std::string::npos)
      << finished.output;
}

TEST(RunCommand, KeepsMpirunFromDyingOfABrokenPipe) {
  FakeMpirun mpirun("kill -PIPE $$; echo lives on");
  const Finished finished = run(mpirun.words, mpirun.environment);
  EXPECT_EQ(finished.status, 0) << finished.output;
  EXPECT_NE(finished.output.find("lives on"), std::string::npos) << finished.output;
}

}  // namespace
}  // namespace masformer::test
