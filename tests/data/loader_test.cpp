// The loader's windows, their order, and each shard's part of a step.
#include "data/loader.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

void append(Batch& to, const Batch& from) {
  to.samples += from.samples;
  to.sequence = from.sequence;
  const auto join = [](auto& a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); };
  join(to.tokens, from.tokens);
  join(to.labels, from.labels);
  join(to.positions, from.positions);
  join(to.first_keys, from.first_keys);
  join(to.document_starts, from.document_starts);
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.samples, b.samples);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.first_keys, b.first_keys);
  EXPECT_EQ(a.document_starts, b.document_starts);
}

TEST(WindowCount, CountsOnlyWindowsWithTheirLastLabel) {
  for (const std::int64_t s : {1, 2, 8, 100}) {
    for (std::int64_t tokens = 0; tokens <= 3 * s + 2; ++tokens) {
      std::int64_t naive = 0;
      while ((naive + 1) * s + 1 <= tokens) ++naive;
      EXPECT_EQ(window_count(tokens, s), naive) << tokens << " tokens, windows of " << s;
    }
  }
}

class LoaderTest : public testing::Test {
 protected:
  static constexpr std::int64_t sequence = 8;
  const SampleStore sample = make_store({5, 1, 30, 3, 17, 40, 2, 9, 21});
  const TokenStore store{sample.path};
  const Split split{store, SplitKind::all, 0.0};

  Loader loader(int shard, int shards, std::int64_t global_batch = 6,
                std::uint64_t seed = 1) const {
    return Loader(split, {whole_window(sequence), global_batch, shard, shards, seed});
  }
  // Window k, taken from the plain list of tokens. With a mask, each document is cut out of it.
  Batch naive_window(std::int64_t k, bool mask = false) const {
    Batch batch;
    std::int64_t start = 0;
    if (mask) batch.document_starts = {{}};
    batch.samples = 1;
    batch.sequence = sequence;
    for (std::int64_t i = 0; i < sequence; ++i) {
      const auto at = static_cast<std::size_t>(k * sequence + i);
      batch.tokens.push_back(sample.tokens[at]);
      batch.labels.push_back(sample.tokens[at + 1]);
      if (!mask) {
        batch.positions.push_back(static_cast<std::int32_t>(i));
        continue;
      }
      if (i == 0 || sample.document[at] != sample.document[at - 1]) {
        start = i;
        batch.document_starts[0].push_back(start);
      }
      if (sample.document[at] != sample.document[at + 1]) batch.labels.back() = -1;
      batch.positions.push_back(static_cast<std::int32_t>(i - start));
      batch.first_keys.push_back(static_cast<std::int32_t>(start));
    }
    return batch;
  }
  Window masked_window() const {
    Window window = whole_window(sequence);
    window.document_mask = true;
    return window;
  }
};

TEST_F(LoaderTest, AppendsTheTokensOfEachWindow) {
  const std::int64_t windows = loader(0, 1).windows();
  EXPECT_EQ(windows, 127 / 8);  // 128 tokens: the last window lacks its last label
  for (std::int64_t k = 0; k < windows; ++k) {
    Batch batch;
    append_window(split, whole_window(sequence), k, batch);
    expect_equal(batch, naive_window(k));
  }
  Batch batch;
  EXPECT_THROW(append_window(split, whole_window(sequence), windows, batch), Error);
}

TEST_F(LoaderTest, MasksTheDocumentsOfEachWindow) {
  for (std::int64_t k = 0; k < loader(0, 1).windows(); ++k) {
    Batch batch;
    append_window(split, masked_window(), k, batch);
    expect_equal(batch, naive_window(k, true));
    PackedDocuments documents;
    documents.add(split, masked_window(), k);
    EXPECT_EQ(documents.starts, batch.document_starts);
    EXPECT_EQ(documents.predicted_tokens,
              std::ranges::count_if(batch.labels, [](std::int32_t label) { return label >= 0; }));
  }
}

TEST_F(LoaderTest, DescribesTheDocumentsOfAllShards) {
  for (const std::int64_t step : {0, 3, 7}) {
    const PackedDocuments all = Loader(split, {masked_window(), 6, 1, 3, 1}).documents(step);
    const Batch batch = Loader(split, {masked_window(), 6, 0, 1, 1}).load(step);
    EXPECT_EQ(all.starts, batch.document_starts);
    EXPECT_EQ(all.predicted_tokens, 6 * sequence - std::ranges::count(batch.labels, -1));
    const PackedDocuments unmasked = loader(0, 1).documents(step);
    EXPECT_EQ(unmasked.predicted_tokens, 6 * sequence);
    EXPECT_TRUE(unmasked.starts.empty());
  }
}

TEST_F(LoaderTest, DrawsEachWindowOncePerEpochInAnotherOrder) {
  for (const std::int64_t windows : {1, 2, 15, 1000}) {
    const SampleOrder order(7, windows);
    std::vector<std::vector<std::int64_t>> epochs(3);
    for (std::int64_t n = 0; n < 3 * windows; ++n) {
      epochs[static_cast<std::size_t>(n / windows)].push_back(order.window(n));
    }
    std::vector<std::int64_t> all(static_cast<std::size_t>(windows));
    std::iota(all.begin(), all.end(), 0);
    for (const auto& epoch : epochs) {
      EXPECT_TRUE(std::is_permutation(epoch.begin(), epoch.end(), all.begin()));
    }
    if (windows < 15) continue;
    EXPECT_NE(epochs[0], all);
    EXPECT_NE(epochs[0], epochs[1]);
    EXPECT_NE(epochs[1], epochs[2]);
    const SampleOrder other(8, windows);
    EXPECT_NE(other.window(0) * windows + other.window(1), epochs[0][0] * windows + epochs[0][1]);
  }
}

TEST_F(LoaderTest, FollowsTheOrderAcrossEpochs) {
  const Loader whole = loader(0, 1);
  const SampleOrder order(1, whole.windows());
  for (std::int64_t step = 0; step < 10; ++step) {  // 60 samples, 15 windows: four epochs
    Batch naive;
    for (std::int64_t n = 6 * step; n < 6 * step + 6; ++n) {
      append(naive, naive_window(order.window(n)));
    }
    expect_equal(whole.load(step), naive);
  }
}

TEST_F(LoaderTest, GivesShardsThatTogetherAreTheWholeBatch) {
  const Loader whole = loader(0, 1);
  for (const int shards : {2, 3, 6}) {
    for (const std::int64_t step : {4, 0, 3, 1000000007}) {  // any step, in any order
      Batch joined;
      for (int shard = 0; shard < shards; ++shard) {
        append(joined, loader(shard, shards).load(step));
      }
      expect_equal(joined, whole.load(step));
    }
  }
}

// As the ranks of a context axis load them. A label may belong to another rank's token, and a
// document start there.
TEST_F(LoaderTest, LoadsTheTokensAtGivenPositions) {
  const std::vector<PositionRange> parts{{1, 3}, {4, 5}, {6, 8}};
  for (const bool mask : {false, true}) {
    const LoaderOptions options{{sequence, parts, mask}, 6, 0, 1, 1};
    EXPECT_EQ(options.window.loaded(), 5);
    const Batch part = Loader(split, options).load(2);
    const Batch whole =
        Loader(split, {mask ? masked_window() : whole_window(sequence), 6, 0, 1, 1}).load(2);
    Batch expected{.samples = 6, .sequence = 5, .document_starts = whole.document_starts};
    for (std::size_t window = 0; window < 6; ++window) {
      for (const PositionRange& range : parts) {
        for (std::int64_t position = range.begin; position < range.end; ++position) {
          const std::size_t at = window * sequence + static_cast<std::size_t>(position);
          expected.tokens.push_back(whole.tokens[at]);
          expected.labels.push_back(whole.labels[at]);
          expected.positions.push_back(whole.positions[at]);
          if (mask) expected.first_keys.push_back(whole.first_keys[at]);
        }
      }
    }
    expect_equal(part, expected);
  }
}

TEST_F(LoaderTest, OrdersWindowsByTheSeed) {
  EXPECT_NE(loader(0, 1, 6, 1).load(0).tokens, loader(0, 1, 6, 2).load(0).tokens);
}

TEST_F(LoaderTest, RefusesOptionsWithoutABatch) {
  const auto refusal = [&](const LoaderOptions& options) {
    return message_of<UsageError>([&] { Loader(split, options); });
  };
  EXPECT_NE(refusal({whole_window(128), 1, 0, 1, 0}).find("128 tokens in 9 documents"),
            std::string::npos);
  EXPECT_NE(refusal({whole_window(8), 5, 0, 2, 0}).find("5 samples"), std::string::npos);
  EXPECT_NE(refusal({whole_window(8), 0, 0, 1, 0}).find("0 samples"), std::string::npos);
  EXPECT_NE(refusal({whole_window(0), 1, 0, 1, 0}).find("a sequence has 0 tokens"),
            std::string::npos);
  EXPECT_THROW(loader(2, 2), Error);
  EXPECT_EQ(Loader(split, {whole_window(127), 1, 0, 1, 0}).windows(), 1);
}

}  // namespace
}  // namespace masformer::test
