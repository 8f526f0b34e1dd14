// main() of tests that several ranks run together: all ranks run every test. Rank 0 prints; other
// ranks print their failures alone. A failure on any rank fails the program on all.
#include <cstdio>
#include <memory>

#include <gtest/gtest.h>

#include "parallel/mpi_communicator.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

Communicator* the_world = nullptr;

// Prints failures with the rank they happened on, and ends the job where a rank leaves a test
// half-way (ASSERT, an exception), since the others might wait for it for ever.
class RankedPrinter : public testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    if (the_world->rank() != 0) {
      std::fprintf(stderr, "[rank %d] %s:%d: %s\n", the_world->rank(),
                   result.file_name() ? result.file_name() : "?", result.line_number(),
                   result.message());
    }
    if (result.fatally_failed() && the_world->size() > 1) MpiSession::abort(1);
  }
};

}  // namespace

Communicator& world() {
  return *the_world;
}

}  // namespace masformer::test

int main(int argc, char** argv) {
  masformer::MpiSession session(&argc, &argv);
  const auto world = session.world();
  masformer::test::the_world = world.get();
  testing::InitGoogleTest(&argc, argv);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world->rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new masformer::test::RankedPrinter);
  const int failed = RUN_ALL_TESTS();
  return masformer::sum_over(*world, failed) > 0 ? 1 : 0;
}
