#include "tests/cuda_double/waits.h"

#include <cstdlib>
#include <fstream>

namespace cuda_double {
namespace {

long count = 0;

void tell() {
  if (const char* const file = std::getenv("CUDA_DOUBLE_WAITS")) {
    std::ofstream(file, std::ios::app) << count << '\n';
  }
}

[[maybe_unused]] const int told_at_exit = std::atexit(tell);

}  // namespace

void count_wait_for_end() {
  ++count;
}

}  // namespace cuda_double
