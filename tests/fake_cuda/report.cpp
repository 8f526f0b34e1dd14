#include "tests/fake_cuda/report.h"

#include <cstdio>
#include <cstdlib>

namespace fake_cuda {

void stop_program(const std::string& message) {
  std::fprintf(stderr, "fake CUDA: %s\n", message.c_str());
  std::abort();
}

std::string to_string(const Site& site) {
  return fmt::format("{}:{}", site.file, site.line);
}

std::string to_string(const uint3& index) {
  return fmt::format("({}, {}, {})", index.x, index.y, index.z);
}

}  // namespace fake_cuda
