#include "runtime/ops/cross_entropy.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/elementwise.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Case {
  std::int64_t tokens, words, shards;
  int threads;
  bool aligned = false;  // rows aligned to 16 bytes, as the model's are
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << " tokens, " << c.words << " words, shards " << c.shards << ", threads "
             << c.threads << (c.aligned ? ", aligned" : "");
}

struct Result {
  double loss = 0;
  Numbers dlogits;  // [T, words]
};

constexpr float scale = 0.37f;

// Every fifth token predicts nothing.
std::int64_t label_of(std::int64_t token, std::int64_t words) {
  if (token % 5 == 4) return -100;
  return mix(3, static_cast<std::uint64_t>(token)) % static_cast<std::uint64_t>(words);
}

double reference_loss(const Numbers& logits, std::int64_t tokens, std::int64_t words) {
  double loss = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (label_of(t, words) < 0) continue;
    const double* row = logits.data() + t * words;
    const double max = *std::max_element(row, row + words);
    double total = 0;
    for (std::int64_t v = 0; v < words; ++v) total += std::exp(row[v] - max);
    loss += max + std::log(total) - row[label_of(t, words)];
  }
  return loss;
}

class CrossEntropy : public testing::TestWithParam<Case> {
 protected:
  const Case c = GetParam();
  const Stream stream{device(), c.threads};
  const OwnedTensor logits = normals({c.tokens, c.words}, 1, 3, 4);
  const Numbers logit = values(logits);
  const OwnedTensor labels =
      integers(c.tokens, [this](std::int64_t t) { return label_of(t, c.words); });
  // Columns of a shard: all shards are equally wide, and the last ones contain padding. A shard is
  // a slice of wider rows.
  const std::int64_t border = c.aligned ? 16 : 1;
  const std::int64_t columns = (c.words / c.shards + 3 + border - 1) / border * border;
  const std::int64_t lead = c.aligned ? border : 2, width = lead + columns + border;

  VocabularyShard shard(std::int64_t rank) const {
    const std::int64_t first = rank * columns;
    return {first, std::clamp(c.words - first, std::int64_t{0}, columns)};
  }

  // Computes as ranks do: each has its columns, and a reduction follows each step.
  Result run() const {
    std::vector<OwnedTensor> wide;
    std::vector<Tensor> parts;
    for (std::int64_t rank = 0; rank < c.shards; ++rank) {
      wide.push_back(poisoned({c.tokens, width}));  // the padding too
      parts.push_back(wide.back()->slice(1, lead, columns));
      const VocabularyShard s = shard(rank);
      set(parts.back().slice(1, 0, s.valid), [&](std::int64_t i) {
        return logit[static_cast<std::size_t>(i / s.valid * c.words + s.first + i % s.valid)];
      });
    }
    const Shape tokens = {c.tokens};
    const OwnedTensor max = filled(tokens, Numbers(static_cast<std::size_t>(c.tokens), -INFINITY));
    const OwnedTensor sum(tokens), target(tokens), lse = poisoned(tokens);
    const OwnedTensor max_part = poisoned(tokens), sum_part = poisoned(tokens);
    const OwnedTensor target_part = poisoned(tokens);
    for (std::int64_t rank = 0; rank < c.shards; ++rank) {
      softmax_max(stream, parts[static_cast<std::size_t>(rank)], shard(rank), max_part);
      const Numbers before = values(max), part = values(max_part);
      set(max, [&](std::int64_t t) { return std::max(before[t], part[t]); });
    }
    for (std::int64_t rank = 0; rank < c.shards; ++rank) {
      softmax_sum(stream, parts[static_cast<std::size_t>(rank)], shard(rank), labels, max, sum_part,
                  target_part);
      const Numbers sums = test::sum(values(sum), values(sum_part));
      const Numbers targets = test::sum(values(target), values(target_part));
      set(sum, [&](std::int64_t t) { return sums[t]; });
      set(target, [&](std::int64_t t) { return targets[t]; });
    }
    const OwnedTensor loss({1}, DType::f64);
    cross_entropy(stream, labels, max, sum, target, lse, loss);
    Result result{scalar(stream, loss), Numbers(static_cast<std::size_t>(c.tokens * c.words))};
    for (std::int64_t rank = 0; rank < c.shards; ++rank) {
      const Tensor& part = parts[static_cast<std::size_t>(rank)];
      cross_entropy_backward(stream, part, shard(rank), labels, lse, scale, part);
      const Tensor whole = wide[static_cast<std::size_t>(rank)];
      EXPECT_EQ(poison_left(whole), (width - columns) * c.tokens)
          << "padding must become 0, the rest stay";
      const VocabularyShard s = shard(rank);
      for_each_element(part, [&](float& x, std::int64_t i) {
        const std::int64_t t = i / columns, v = i % columns;
        if (v >= s.valid) {
          EXPECT_EQ(x, 0.0f);
        } else {
          result.dlogits[static_cast<std::size_t>(t * c.words + s.first + v)] = x;
        }
      });
    }
    return result;
  }
};

TEST_P(CrossEntropy, EqualsTheEquationAndItsSlope) {
  const Result result = run();
  const double expected = reference_loss(values(logits), c.tokens, c.words);
  EXPECT_NEAR(result.loss, expected, 3e-7 * (expected + double(c.tokens)));
  const auto at = [&](const Numbers& p) { return scale * reference_loss(p, c.tokens, c.words); };
  if (c.tokens * c.words <= 1500) {
    EXPECT_LT(difference(result.dlogits, numeric_gradient(at, values(logits))), 5e-6);
  }
  // Each row of the gradient sums to 0: the probabilities to 1, minus the label's 1.
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    double row = 0;
    for (std::int64_t v = 0; v < c.words; ++v) {
      row += result.dlogits[static_cast<std::size_t>(t * c.words + v)];
    }
    EXPECT_NEAR(row, 0, 3e-6) << "token " << t;
  }
}

TEST_P(CrossEntropy, GivesTheSameBitsTwice) {
  const Result first = run(), second = run();
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.dlogits, second.dlogits);
}

INSTANTIATE_TEST_SUITE_P(Sizes, CrossEntropy,
                         testing::Values(Case{1, 2, 1, 1}, Case{3, 17, 1, 2}, Case{3, 17, 2, 1},
                                         Case{7, 33, 4, 3}, Case{5, 257, 2, 2}, Case{5, 257, 4, 1},
                                         Case{6, 5, 4, 2},  // the last shard has only padding
                                         Case{33, 5003, 1, 2}, Case{33, 5003, 4, 3},
                                         Case{7, 33, 4, 3, true}, Case{33, 5003, 1, 2, true},
                                         Case{3, 20011, 2, 1, true}, Case{0, 17, 2, 2}));

TEST(CrossEntropy, ShardWithoutWordsAddsNothing) {
  const Stream stream(device(), 2);
  const OwnedTensor logits = poisoned({3, 8}), max = poisoned({3}), sum = poisoned({3});
  const OwnedTensor target = poisoned({3}), global_max = normals({3}, 1);
  const OwnedTensor labels = integers(3, [](std::int64_t t) { return t - 1; });
  softmax_max(stream, logits, {16, 0}, max);
  EXPECT_EQ(values(max), Numbers(3, -INFINITY));
  softmax_sum(stream, logits, {16, 0}, labels, global_max, sum, target);
  EXPECT_EQ(values(sum), Numbers(3, 0));
  EXPECT_EQ(values(target), Numbers(3, 0));
  cross_entropy_backward(stream, logits, {16, 0}, labels, global_max, 1, logits);
  EXPECT_EQ(values(logits), Numbers(24, 0));
  EXPECT_THROW(softmax_max(stream, logits, {0, 9}, max), Error);
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  const Stream stream(device());
  const OwnedTensor logits = filled({1, 17}, Numbers(17, 3000)), max({1}), sum({1}), target({1});
  const OwnedTensor labels = integers(1, [](std::int64_t) { return 16; }), lse({1});
  softmax_max(stream, logits, {0, 17}, max);
  softmax_sum(stream, logits, {0, 17}, labels, max, sum, target);
  const OwnedTensor loss({1}, DType::f64);
  cross_entropy(stream, labels, max, sum, target, lse, loss);
  EXPECT_NEAR(scalar(stream, loss), std::log(17.0), 1e-6);
}

TEST(CrossEntropy, NanLogitsGiveANanLoss) {
  const Stream stream(device());
  const OwnedTensor logits = normals({1, 40}, 1), max({1}), sum({1}), target({1});
  set(logits->slice(1, 21, 1), [](std::int64_t) { return NAN; });
  softmax_max(stream, logits, {0, 40}, max);
  softmax_sum(stream, logits, {0, 40}, integers(1, [](std::int64_t) { return 2; }), max, sum,
              target);
  EXPECT_EQ(poison_left(sum), 1);
}

}  // namespace
}  // namespace masformer
