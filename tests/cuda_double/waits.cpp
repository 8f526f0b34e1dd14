#include "tests/cuda_double/waits.h"

#include <cstdlib>
#include <fstream>

namespace cuda_double {
namespace {

class Waits {
 public:
  Waits() = default;
  Waits(const Waits&) = delete;
  Waits& operator=(const Waits&) = delete;
  ~Waits() {
    if (const char* const file = std::getenv("CUDA_DOUBLE_WAITS")) {
      std::ofstream(file, std::ios::app) << count_ << '\n';
    }
  }
  void add() { ++count_; }

 private:
  long count_ = 0;
};

}  // namespace

void count_wait_for_end() {
  static Waits waits;
  waits.add();
}

}  // namespace cuda_double
