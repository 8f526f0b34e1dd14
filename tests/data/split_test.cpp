// Splits into training and held-out documents, compared with a naive construction.
#include "data/split.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

struct Naive {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> document;
};

// Bresenham's line from document 1 on: the sum of the shares starts at 1, and a document is held
// out when the sum passes an integer.
Naive naive_split(const SampleStore& sample, SplitKind kind, double fraction) {
  Naive split;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    const int d = sample.document[i];
    const double before = d < 2 ? 0 : 1 + (d - 2) * fraction;
    const double after = d < 1 ? 0 : 1 + (d - 1) * fraction;
    const bool held_out = fraction > 0 && std::floor(after) > std::floor(before);
    if (kind == SplitKind::all || held_out == (kind == SplitKind::held_out)) {
      split.tokens.push_back(sample.tokens[i]);
      split.document.push_back(d);
    }
  }
  return split;
}

std::vector<int> lengths(int documents) {
  std::vector<int> result(static_cast<std::size_t>(documents));
  for (int d = 0; d < documents; ++d) result[static_cast<std::size_t>(d)] = 1 + d * d % 7;
  return result;
}

class Splits : public testing::TestWithParam<std::tuple<int, double>> {};

TEST_P(Splits, HaveExactSharesAndReadAsTheConcatenation) {
  const auto [documents, fraction] = GetParam();
  const SampleStore sample = make_store(lengths(documents));
  const TokenStore store(sample.path);
  const Split all(store, SplitKind::all, fraction);
  const Split train(store, SplitKind::train, fraction);
  const Split held_out(store, SplitKind::held_out, fraction);
  EXPECT_EQ(all.documents(), documents);
  const bool none = documents < 2 || fraction == 0;
  EXPECT_EQ(held_out.documents(), none ? 0 : 1 + std::floor((documents - 2) * fraction));
  EXPECT_EQ(train.documents() + held_out.documents(), documents);
  EXPECT_EQ(train.tokens() + held_out.tokens(), store.tokens());

  const std::pair<const Split*, SplitKind> splits[] = {
      {&all, SplitKind::all}, {&train, SplitKind::train}, {&held_out, SplitKind::held_out}};
  for (const auto& [split, kind] : splits) {
    const Naive naive = naive_split(sample, kind, fraction);
    ASSERT_EQ(split->tokens(), static_cast<std::int64_t>(naive.tokens.size()));
    for (std::size_t begin = 0; begin <= naive.tokens.size(); ++begin) {
      for (std::size_t count : {std::size_t{1}, std::size_t{5}, naive.tokens.size() - begin}) {
        count = std::min(count, naive.tokens.size() - begin);
        std::vector<std::int32_t> tokens(count);
        split->read(static_cast<std::int64_t>(begin), tokens);
        const auto at = static_cast<std::ptrdiff_t>(begin);
        ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), naive.tokens.begin() + at));
        std::vector<std::int64_t> starts;
        for (std::size_t i = 0; i < count; ++i) {
          const bool first = i == 0 || naive.document[begin + i] != naive.document[begin + i - 1];
          if (first) starts.push_back(static_cast<std::int64_t>(i));
        }
        ASSERT_EQ(split->document_starts(static_cast<std::int64_t>(begin),
                                         static_cast<std::int64_t>(count)),
                  starts);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shares, Splits,
                         testing::Combine(testing::Values(1, 2, 7, 40),
                                          testing::Values(0.0, 0.01, 0.1, 1.0 / 3, 0.5, 0.9)));

TEST(Split, SpreadsHeldOutDocumentsEvenly) {
  const SampleStore sample = make_store(lengths(100));
  const TokenStore store(sample.path);
  const Split held_out(store, SplitKind::held_out, 0.25);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(held_out.tokens())), expected;
  held_out.read(0, tokens);
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    if (sample.document[i] % 4 == 1) expected.push_back(sample.tokens[i]);
  }
  EXPECT_EQ(tokens, expected);
}

TEST(Split, RefusesToReadOutside) {
  const SampleStore sample = make_store({4, 4});
  const TokenStore store(sample.path);
  const Split split(store, SplitKind::train, 0.5);
  std::vector<std::int32_t> out(3);
  EXPECT_NO_THROW(split.read(1, out));
  EXPECT_THROW(split.read(2, out), Error);
  EXPECT_THROW(split.read(-1, out), Error);
  EXPECT_THROW(split.document_starts(2, 3), Error);
}

TEST(Split, RefusesUnusableShares) {
  const SampleStore sample = make_store({4});
  const TokenStore store(sample.path);
  for (const double share : {-0.1, 1.0, std::nan("")}) {
    EXPECT_THROW(Split(store, SplitKind::all, share), UsageError) << share;
  }
}

}  // namespace
}  // namespace masformer::test
