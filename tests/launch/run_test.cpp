// What `masformer run` starts mpirun with.
#include <sstream>

#include <gtest/gtest.h>

#include "tests/support/fake_mpirun.h"

namespace masformer::test {
namespace {

// The names behind -x that begin so.
std::vector<std::string> passed_on(const std::string& line, const std::string& prefix) {
  std::istringstream words(line);
  std::vector<std::string> names;
  for (std::string word; words >> word;) {
    if (word == "-x" && words >> word && word.starts_with(prefix)) names.push_back(word);
  }
  return names;
}

TEST(Run, PassesSettingsOnToOtherHostsButNotTheirDevices) {
  FakeMpirun mpirun("echo \"$@\"");
  for (const char* const name :
       {"MASFORMER_A", "OMP_B", "NCCL_C", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_D"}) {
    mpirun.environment[name] = "0";
  }
  mpirun.environment["LD_LIBRARY_PATH"] = "/nowhere";
  mpirun.words.insert(mpirun.words.begin() + 4, {"--hostfile", "hosts"});
  const Finished finished = run(mpirun.words, mpirun.environment);
  EXPECT_EQ(finished.status, 0) << finished.output;
  using Names = std::vector<std::string>;
  EXPECT_EQ(passed_on(finished.output, "MASFORMER_A"), Names{"MASFORMER_A"});
  EXPECT_EQ(passed_on(finished.output, "OMP_B"), Names{"OMP_B"});
  EXPECT_EQ(passed_on(finished.output, "NCCL_"), Names{"NCCL_C"});
  EXPECT_EQ(passed_on(finished.output, "CUDA_H"), Names{"CUDA_HOME"});
  EXPECT_EQ(passed_on(finished.output, "LD_"), Names{"LD_LIBRARY_PATH"});
  EXPECT_EQ(passed_on(finished.output, "CUDA_V"), Names{});
  EXPECT_EQ(passed_on(finished.output, "NVIDIA"), Names{});
  EXPECT_NE(finished.output.find("--hostfile hosts " + program() + " train"), std::string::npos)
      << finished.output;
}

}  // namespace
}  // namespace masformer::test
