// main() of tests that run on several ranks: all ranks run every test. Rank 0 prints everything,
// other ranks only their failures. A failure on any rank fails the program on all ranks.
#include <cstdio>
#include <memory>

#include <gtest/gtest.h>

#include "parallel/comm/mpi/communicator.h"
#include "tests/support/world.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#ifdef MASFORMER_SANITIZED
// MPI's plug-ins must stay loaded, so that suppressions can match them by name.
extern "C" int dlclose(void* /*handle*/) {
  return 0;
}
#endif

namespace masformer::test {
namespace {

Communicator* the_world = nullptr;

// Prints failures with their rank. Ends the job if a rank leaves a test early (ASSERT, an
// exception), because other ranks might wait for it forever.
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

// Before MPI is finalized: afterwards its own memory looks like leaks.
void check_for_leaks() {
#ifdef __SANITIZE_ADDRESS__
  __lsan_do_leak_check();
#endif
}

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
  const bool failed = masformer::sum_over(*world, RUN_ALL_TESTS()) > 0;
  masformer::test::check_for_leaks();
  return failed ? 1 : 0;
}
