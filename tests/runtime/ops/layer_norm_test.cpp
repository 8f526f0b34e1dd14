#include "runtime/ops/layer_norm.h"

#include <gtest/gtest.h>

#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

constexpr float epsilon = 1e-5f;

Numbers reference(std::int64_t tokens, std::int64_t features, const Numbers& x,
                  const Numbers& weight, const Numbers& bias) {
  Numbers y;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double* row = x.data() + t * features;
    double mean = 0, variance = 0;
    for (std::int64_t h = 0; h < features; ++h) mean += row[h] / double(features);
    for (std::int64_t h = 0; h < features; ++h) {
      variance += (row[h] - mean) * (row[h] - mean) / double(features);
    }
    for (std::size_t h = 0; h < static_cast<std::size_t>(features); ++h) {
      y.push_back((row[h] - mean) / std::sqrt(variance + epsilon) * weight[h] + bias[h]);
    }
  }
  return y;
}

struct Gradients {
  Numbers dx, dweight, dbias;
};

Gradients reference_backward(std::int64_t tokens, std::int64_t features, const Numbers& dy,
                             const Numbers& x, const Numbers& weight) {
  const std::size_t columns = static_cast<std::size_t>(features);
  const Numbers ones(columns, 1), zeros(columns, 0);
  const Numbers xhat = reference(tokens, features, x, ones, zeros);
  Gradients gradients{Numbers(x.size()), zeros, zeros};
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::size_t row = static_cast<std::size_t>(t) * columns;
    double mean = 0, variance = 0, g_mean = 0, g_xhat_mean = 0;
    for (std::size_t h = 0; h < columns; ++h) mean += x[row + h] / double(features);
    for (std::size_t h = 0; h < columns; ++h) {
      variance += (x[row + h] - mean) * (x[row + h] - mean) / double(features);
      g_mean += dy[row + h] * weight[h] / double(features);
      g_xhat_mean += dy[row + h] * weight[h] * xhat[row + h] / double(features);
      gradients.dweight[h] += dy[row + h] * xhat[row + h];
      gradients.dbias[h] += dy[row + h];
    }
    for (std::size_t h = 0; h < columns; ++h) {
      gradients.dx[row + h] = (dy[row + h] * weight[h] - g_mean - xhat[row + h] * g_xhat_mean) /
                              std::sqrt(variance + epsilon);
    }
  }
  return gradients;
}

struct Case {
  std::int64_t tokens, features;
  int threads;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << "x" << c.features << ", threads " << c.threads;
}

class LayerNorm : public testing::TestWithParam<Case> {
 protected:
  const Case c = GetParam();
  const Stream stream{device(), c.threads};
  const Shape matrix = {c.tokens, c.features};
  const OwnedTensor x = normals(matrix, 1, 2, 0.5), dy = normals(matrix, 4);
  const OwnedTensor weight = normals({c.features}, 2), bias = normals({c.features}, 3);
  const OwnedTensor mean = poisoned({c.tokens}), rstd = poisoned({c.tokens});
  const OwnedTensor y = poisoned(matrix), residual = normals(matrix, 5);

  LayerNormBackward backward_args(Tensor dx, Tensor dweight, Tensor dbias) const {
    return {.dy = dy,
            .x = x,
            .weight = weight,
            .mean = mean,
            .rstd = rstd,
            .residual = residual,
            .dx = dx,
            .dweight = dweight,
            .dbias = dbias};
  }
};

TEST_P(LayerNorm, EqualsTheEquation) {
  layer_norm(stream, x, weight, bias, epsilon, y, mean, rstd);
  const Numbers expected = reference(c.tokens, c.features, values(x), values(weight), values(bias));
  EXPECT_LT(difference(y, expected), 5e-7);
  EXPECT_EQ(poison_left(mean) + poison_left(rstd), 0);
}

TEST_P(LayerNorm, BackwardEqualsTheEquation) {
  layer_norm(stream, x, weight, bias, epsilon, y, mean, rstd);
  const OwnedTensor dx = poisoned(matrix), dweight = normals({c.features}, 6);
  const OwnedTensor dbias = normals({c.features}, 7);
  const Numbers dweight_before = values(dweight), dbias_before = values(dbias);
  layer_norm_backward(stream, backward_args(dx, dweight, dbias));
  const Gradients expected =
      reference_backward(c.tokens, c.features, values(dy), values(x), values(weight));
  EXPECT_LT(difference(dx, sum(values(residual), expected.dx)), 1e-6);
  EXPECT_LT(difference(dweight, sum(dweight_before, expected.dweight)), 1e-6);
  EXPECT_LT(difference(dbias, sum(dbias_before, expected.dbias)), 1e-6);
}

TEST_P(LayerNorm, BackwardEquationIsTheSlope) {
  if (c.tokens * c.features > 800) GTEST_SKIP() << "too large for finite differences";
  if (c.features == 2) GTEST_SKIP() << "the norm of two numbers is almost only their order";
  const Numbers dy_ = values(dy), x_ = values(x), weight_ = values(weight), bias_ = values(bias);
  const auto loss = [&](const Numbers& at_x, const Numbers& at_weight, const Numbers& at_bias) {
    return dot(dy_, reference(c.tokens, c.features, at_x, at_weight, at_bias));
  };
  const Numbers slope_x =
      numeric_gradient([&](const Numbers& p) { return loss(p, weight_, bias_); }, x_);
  const Numbers slope_weight =
      numeric_gradient([&](const Numbers& p) { return loss(x_, p, bias_); }, weight_);
  const Numbers slope_bias =
      numeric_gradient([&](const Numbers& p) { return loss(x_, weight_, p); }, bias_);
  const Gradients gradients = reference_backward(c.tokens, c.features, dy_, x_, weight_);
  EXPECT_LT(difference(gradients.dx, slope_x), 1e-7);
  EXPECT_LT(difference(gradients.dweight, slope_weight), 1e-7);
  EXPECT_LT(difference(gradients.dbias, slope_bias), 1e-7);
}

TEST_P(LayerNorm, WorksInPlaceWithTheSameBits) {
  layer_norm(stream, x, weight, bias, epsilon, y, mean, rstd);
  const OwnedTensor dx = poisoned(matrix), dweight({c.features}), dbias({c.features});
  const OwnedTensor dweight_again({c.features}), dbias_again({c.features});
  layer_norm_backward(stream, backward_args(dx, dweight, dbias));
  layer_norm_backward(stream, backward_args(residual, dweight_again, dbias_again));
  EXPECT_TRUE(same_bits(dx, residual));
  EXPECT_TRUE(same_bits(dweight, dweight_again));
  EXPECT_TRUE(same_bits(dbias, dbias_again));

  // Without a residual, and with dx in place of dy.
  LayerNormBackward args = backward_args(dx, dweight, dbias);
  args.residual = Tensor();
  layer_norm_backward(stream, args);
  args.dx = dy;
  layer_norm_backward(stream, args);
  EXPECT_TRUE(same_bits(dx, dy));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LayerNorm,
                         testing::Values(Case{1, 2, 1}, Case{1, 3, 2}, Case{3, 17, 1},
                                         Case{5, 33, 3}, Case{17, 33, 2}, Case{3, 257, 3},
                                         Case{65, 7, 1}, Case{70, 11, 3}, Case{257, 129, 2},
                                         Case{9, 768, 2}, Case{0, 33, 2},
                                         // Longer rows than a device's block keeps in registers.
                                         Case{6, 1027, 1}, Case{6, 4104, 2}));

// Ranks of a tensor group have copies of a norm, which must stay equal if their numbers of threads
// differ.
TEST(LayerNormLarge, GradientsDoNotDependOnTheNumberOfThreads) {
  const std::int64_t tokens = 3001, features = 24;
  const Shape matrix = {tokens, features};
  const OwnedTensor x = normals(matrix, 1), dy = normals(matrix, 2),
                    weight = normals({features}, 3);
  const OwnedTensor mean({tokens}), rstd({tokens}), dx(matrix);
  const auto gradients = [&](int threads) {
    const Stream stream(device(), threads);
    layer_norm(stream, x, weight, weight, epsilon, dx, mean, rstd);
    OwnedTensor both({2, features});
    const Tensor dweight = Tensor(both).slice(0, 0, 1).reshape({features});
    const Tensor dbias = Tensor(both).slice(0, 1, 1).reshape({features});
    layer_norm_backward(stream, {.dy = dy,
                                 .x = x,
                                 .weight = weight,
                                 .mean = mean,
                                 .rstd = rstd,
                                 .residual = {},
                                 .dx = dx,
                                 .dweight = dweight,
                                 .dbias = dbias});
    return both;
  };
  const OwnedTensor one = gradients(1);
  for (const int threads : {2, 3, 5}) EXPECT_TRUE(same_bits(gradients(threads), one)) << threads;
}

TEST(LayerNormLarge, SumsOverManyTokensKeepTheirDigits) {
  const std::int64_t tokens = 20000, features = 8;
  const Stream stream(device(), 2);
  const Shape matrix = {tokens, features};
  const OwnedTensor x = normals(matrix, 1), dy = normals(matrix, 2, 1, 1);
  const OwnedTensor weight = normals({features}, 3), dx(matrix), mean({tokens}), rstd({tokens});
  const OwnedTensor dweight({features}), dbias({features});
  layer_norm(stream, x, weight, weight, epsilon, dx, mean, rstd);
  layer_norm_backward(stream, {.dy = dy,
                               .x = x,
                               .weight = weight,
                               .mean = mean,
                               .rstd = rstd,
                               .residual = {},
                               .dx = dx,
                               .dweight = dweight,
                               .dbias = dbias});
  Numbers expected(static_cast<std::size_t>(features));
  const Numbers dy_ = values(dy);
  for (std::size_t i = 0; i < dy_.size(); ++i) expected[i % expected.size()] += dy_[i];
  EXPECT_LT(difference(dbias, expected), 1e-7);
}

}  // namespace
}  // namespace masformer
