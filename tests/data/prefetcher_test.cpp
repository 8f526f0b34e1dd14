// Batches loaded ahead, on a thread: the same, in order; stopped at once; failures passed on.
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
  const Loader loader{split, {16, 4, 0, 1, 3}};
};

TEST_F(PrefetcherTest, GivesTheLoadersBatchesInOrder) {
  for (const int depth : {1, 2, 7}) {
    Prefetcher prefetcher(loader, 5, 60, depth);
    for (std::int64_t step = 5; step < 60; ++step) {
      ASSERT_EQ(prefetcher.next().tokens, loader.load(step).tokens) << step;
    }
    EXPECT_THROW(prefetcher.next(), Error);
  }
}

TEST_F(PrefetcherTest, StopsWhereverItIs) {
  for (int taken = 0; taken < 20; ++taken) {
    Prefetcher prefetcher(loader, 0, 1'000'000'000, 1 + taken % 3);
    for (int i = 0; i < taken; ++i) prefetcher.next();
    if (taken % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(PrefetcherTest, NothingToDoIsFine) {
  Prefetcher prefetcher(loader, 4, 4);
  EXPECT_THROW(prefetcher.next(), Error);
  EXPECT_THROW(Prefetcher(loader, 0, 1, 0), Error);
}

// Batches from before the failure are still given out, then the failure, as often as one asks.
TEST_F(PrefetcherTest, PassesFailuresOnInTheirPlace) {
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
