#include "runtime/ops/linear.h"

#include <array>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Case {
  std::int64_t tokens, inputs, outputs;
  int threads;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << "x" << c.inputs << "x" << c.outputs << ", threads " << c.threads;
}

// c [m, n] = sum over k of a(i, k) b(j, k), where `a` and `b` name elements.
template <class A, class B>
Numbers product(std::int64_t m, std::int64_t n, std::int64_t k, const A& a, const B& b) {
  Numbers c;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double total = 0;
      for (std::int64_t l = 0; l < k; ++l) total += a(i, l) * b(j, l);
      c.push_back(total);
    }
  }
  return c;
}

auto element(const Numbers& matrix, std::int64_t columns) {
  return [&matrix, columns](std::int64_t i, std::int64_t j) {
    return matrix[static_cast<std::size_t>(i * columns + j)];
  };
}

auto transposed(const Numbers& matrix, std::int64_t columns) {
  return [&matrix, columns](std::int64_t i, std::int64_t j) {
    return matrix[static_cast<std::size_t>(j * columns + i)];
  };
}

Numbers reference(const Case& c, const Numbers& x, const Numbers& weight, const Numbers& bias) {
  Numbers y =
      product(c.tokens, c.outputs, c.inputs, element(x, c.inputs), element(weight, c.inputs));
  for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i) y[i] += bias[i % bias.size()];
  return y;
}

class Linear : public testing::TestWithParam<Case> {
 protected:
  const Case c = GetParam();
  const Stream stream{device(), c.threads};
  // x, y and their gradients are columns [3, 3 + width) of wider rows.
  const OwnedTensor wide_x = poisoned({c.tokens, c.inputs + 5});
  const OwnedTensor wide_dy = poisoned({c.tokens, c.outputs + 7});
  const Tensor x = wide_x->slice(1, 3, c.inputs);
  const Tensor dy = wide_dy->slice(1, 3, c.outputs);
  const OwnedTensor weight = normals({c.outputs, c.inputs}, 2);
  const OwnedTensor bias = normals({c.outputs}, 3);

  void SetUp() override {
    set_normals(x, 1);
    set_normals(dy, 4);
  }
};

TEST_P(Linear, EqualsTheEquation) {
  const OwnedTensor wide_y = poisoned({c.tokens, c.outputs + 9});
  const Tensor y = wide_y->slice(1, 4, c.outputs);
  linear(stream, x, weight, bias, y);
  EXPECT_LT(difference(y, reference(c, values(x), values(weight), values(bias))), 1e-6);
  EXPECT_EQ(poison_left(wide_y), 9 * c.tokens) << "the columns beside y were touched";

  set_normals(y, 9);
  linear(stream, x, weight, Tensor(), y);
  EXPECT_LT(difference(y, reference(c, values(x), values(weight), {})), 1e-6);
}

TEST_P(Linear, BackwardEqualsTheEquation) {
  const Numbers dy_ = values(dy), x_ = values(x), weight_ = values(weight);
  const OwnedTensor wide_dx = poisoned({c.tokens, c.inputs + 2});
  const Tensor dx = wide_dx->slice(1, 1, c.inputs);
  linear_backward_input(stream, dy, weight, dx);
  const Numbers expected = product(c.tokens, c.inputs, c.outputs, element(dy_, c.outputs),
                                   transposed(weight_, c.inputs));
  EXPECT_LT(difference(dx, expected), 1e-6);
  EXPECT_EQ(poison_left(wide_dx), 2 * c.tokens);

  // Weight gradients are added to what is there.
  const OwnedTensor dweight = normals({c.outputs, c.inputs}, 5), dbias = normals({c.outputs}, 6);
  const Numbers dweight_before = values(dweight), dbias_before = values(dbias);
  linear_backward_weight(stream, dy, x, dweight, dbias);
  const Numbers added =
      product(c.outputs, c.inputs, c.tokens, transposed(dy_, c.outputs), transposed(x_, c.inputs));
  EXPECT_LT(difference(dweight, sum(dweight_before, added)), 1e-6);
  const auto one = [](std::int64_t, std::int64_t) { return 1.0; };
  const Numbers sums = product(c.outputs, 1, c.tokens, transposed(dy_, c.outputs), one);
  EXPECT_LT(difference(dbias, sum(dbias_before, sums)), 1e-6);

  const Numbers once = values(dweight);
  linear_backward_weight(stream, dy, x, dweight, Tensor());
  EXPECT_LT(difference(dweight, sum(once, added)), 1e-6);
}

TEST_P(Linear, BackwardIsTheSlope) {
  if (c.tokens * c.inputs * c.outputs > 4000) GTEST_SKIP() << "too large for finite differences";
  const Numbers dy_ = values(dy), x_ = values(x), weight_ = values(weight), bias_ = values(bias);
  const OwnedTensor dx = poisoned({c.tokens, c.inputs});
  const OwnedTensor dweight({c.outputs, c.inputs}), dbias({c.outputs});
  linear_backward_input(stream, dy, weight, dx);
  linear_backward_weight(stream, dy, x, dweight, dbias);
  const auto at_x = [&](const Numbers& p) { return dot(dy_, reference(c, p, weight_, bias_)); };
  const auto at_weight = [&](const Numbers& p) { return dot(dy_, reference(c, x_, p, bias_)); };
  const auto at_bias = [&](const Numbers& p) { return dot(dy_, reference(c, x_, weight_, p)); };
  EXPECT_LT(difference(dx, numeric_gradient(at_x, x_)), 1e-6);
  EXPECT_LT(difference(dweight, numeric_gradient(at_weight, weight_)), 1e-6);
  EXPECT_LT(difference(dbias, numeric_gradient(at_bias, bias_)), 1e-6);
}

TEST_P(Linear, GivesTheSameBitsTwice) {
  const auto run = [&] {
    const OwnedTensor y = poisoned({c.tokens, c.outputs}), dx = poisoned({c.tokens, c.inputs});
    const OwnedTensor dweight({c.outputs, c.inputs}), dbias({c.outputs});
    linear(stream, x, weight, bias, y);
    linear_backward_input(stream, dy, weight, dx);
    linear_backward_weight(stream, dy, x, dweight, dbias);
    return std::array{values(y), values(dx), values(dweight), values(dbias)};
  };
  EXPECT_EQ(run(), run());
}

INSTANTIATE_TEST_SUITE_P(Sizes, Linear,
                         testing::Values(Case{1, 1, 1, 1}, Case{3, 17, 5, 1}, Case{17, 3, 33, 2},
                                         Case{7, 16, 9, 3}, Case{33, 257, 65, 1},
                                         Case{257, 33, 130, 2}, Case{64, 192, 257, 3},
                                         Case{1, 300, 17, 2}, Case{300, 1, 600, 3},
                                         Case{0, 17, 5, 2}, Case{17, 0, 5, 2}, Case{17, 5, 0, 1}));

TEST(LinearChecks, NameWhatIsWrong) {
  const Stream stream(device());
  const OwnedTensor x({2, 3}), weight({4, 3}), y({2, 5}), bias({4});
  try {
    linear(stream, x, weight, bias, y);
    FAIL() << "a wrong shape was taken";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "linear: y is fp32 [2, 5], not fp32 [2, 4]");
  }
  const Device other = device() == Device::cpu ? Device::cuda : Device::cpu;
  const Tensor far(x->raw(), {2, 3}, DType::f32, other);
  EXPECT_THROW(linear(stream, far, weight, bias, OwnedTensor({2, 4})), Error);
}

}  // namespace
}  // namespace masformer
