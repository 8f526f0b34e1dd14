// The prefetcher gives the loader's batches in order, stops at any time, and passes failures on.
#include "data/prefetcher.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

class PrefetcherTest : public testing::Test {
 protected:
  const SampleStore sample = make_store({500, 300, 2000, 1300});
  const TokenStore store{sample.path};
  const Split split{store, SplitKind::all, 0.0};
  const Loader loader{split, {whole_window(16), 4, 0, 1, 3}};
};

TEST_F(PrefetcherTest, GivesTheBatchesOfTheLoaderInOrder) {
  for (const int depth : {1, 2, 7}) {
    Prefetcher prefetcher(loader, 5, 60, depth);
    for (std::int64_t step = 5; step < 60; ++step) {
      ASSERT_EQ(prefetcher.next().tokens, loader.load(step).tokens) << step;
    }
    EXPECT_THROW(prefetcher.next(), Error);
  }
}

TEST_F(PrefetcherTest, StopsAtAnyTime) {
  for (int taken = 0; taken < 20; ++taken) {
    Prefetcher prefetcher(loader, 0, 1'000'000'000, 1 + taken % 3);
    for (int i = 0; i < taken; ++i) prefetcher.next();
    if (taken % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(PrefetcherTest, AcceptsAnEmptyRangeOfSteps) {
  Prefetcher prefetcher(loader, 4, 4);
  EXPECT_THROW(prefetcher.next(), Error);
  EXPECT_THROW(Prefetcher(loader, 0, 1, 0), Error);
}

// The batches before the failure are still returned; after them each call throws the failure.
TEST_F(PrefetcherTest, ThrowsAFailureAfterTheBatchesBeforeIt) {
  const int depth = 3;
  Prefetcher prefetcher(loader, 0, 100, depth);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::filesystem::resize_file(sample.path, 100);
  std::int64_t good = 0;
  const auto take = [&] {
    for (; good < 100; ++good) prefetcher.next();
  };
  EXPECT_NE(message_of<Error>(take).find("cut off"), std::string::npos);
  EXPECT_LT(good, 100);
  EXPECT_THROW(prefetcher.next(), Error);
}

}  // namespace
}  // namespace masformer::test
