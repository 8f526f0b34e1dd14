#include "runtime/cuda/nvrtc.h"

#include <cstdlib>
#include <filesystem>
#include <nvrtc.h>

#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace masformer::test {
namespace {

constexpr const char* child = "MASFORMER_NVRTC_TEST_CHILD";

nvrtcResult compile() {
  nvrtcProgram program = nullptr;
  nvrtcCreateProgram(&program, "__global__ void nothing() {}", "nothing.cu", 0, nullptr, nullptr);
  const nvrtcResult result = nvrtcCompileProgram(program, 0, nullptr);
  nvrtcDestroyProgram(&program);
  return result;
}

// In a process whose loader does not know CUDA's folders, as when CUDA is a Python package.
TEST(Nvrtc, CompilesIfTheLoaderDoesNotKnowItsFolder) {
  if (std::getenv(child) != nullptr) {
    cuda::load_nvrtc_builtins();
    EXPECT_STREQ(nvrtcGetErrorString(compile()), "NVRTC_SUCCESS");
    return;
  }
  const Finished finished = run({"/lib64/ld-linux-x86-64.so.2", "--inhibit-cache",
                                 std::filesystem::read_symlink("/proc/self/exe").string()},
                                {{"LD_LIBRARY_PATH", ""}, {child, "yes"}});
  EXPECT_EQ(finished.status, 0) << finished.output;
}

}  // namespace
}  // namespace masformer::test
