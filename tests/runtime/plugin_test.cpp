#include "runtime/plugin.h"

#include <cstdlib>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/stream.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {
namespace {

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "nothing was refused";
}

class Plugin : public testing::Test {
 protected:
  Plugin() { setenv("MASFORMER_PLUGINS", folder_.path().c_str(), 1); }

  TemporaryDirectory folder_;
};

TEST_F(Plugin, RefusesADeviceWithoutABackend) {
  EXPECT_EQ(refusal([] { const Stream stream(Device::cuda); }),
            "this build has no libmasformer_cuda.so: build it where the CUDA toolkit is installed "
            "(docs/gpu.md), or use runtime.device=cpu");
}

TEST_F(Plugin, NamesALibraryThatCannotBeOpened) {
  const std::string path = (folder_ / "libbroken.so").string();
  std::ofstream(path) << "no library";
  const std::string message = refusal([] { plugin_symbol("libbroken.so", "symbol"); });
  EXPECT_TRUE(message.starts_with(path + " can't be opened: ")) << message;
}

}  // namespace
}  // namespace masformer::test
