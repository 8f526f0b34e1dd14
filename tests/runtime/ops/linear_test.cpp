#include "runtime/ops/linear.h"

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Case {
  std::int64_t tokens, inputs, outputs;
  int threads;
  // x, y and their gradients are columns [first, first + width) of rows that are this much wider.
  std::int64_t first = 3, wider = 7;
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
  const OwnedTensor wide_x = poisoned({c.tokens, c.inputs + c.wider});
  const OwnedTensor wide_dy = poisoned({c.tokens, c.outputs + c.wider});
  const Tensor x = wide_x->slice(1, c.first, c.inputs);
  const Tensor dy = wide_dy->slice(1, c.first, c.outputs);
  const OwnedTensor weight = normals({c.outputs, c.inputs}, 2);
  const OwnedTensor wide_bias = normals({c.outputs + c.wider}, 3);
  const Tensor bias = wide_bias->slice(0, c.first, c.outputs);

  void SetUp() override {
    set_normals(x, 1);
    set_normals(dy, 4);
  }
};

TEST_P(Linear, EqualsTheEquation) {
  const OwnedTensor wide_y = poisoned({c.tokens, c.outputs + c.wider});
  const Tensor y = wide_y->slice(1, c.first, c.outputs);
  linear(stream, x, weight, bias, y);
  EXPECT_LT(difference(y, reference(c, values(x), values(weight), values(bias))), 1e-6);
  EXPECT_EQ(poison_left(wide_y), c.wider * c.tokens) << "the columns beside y were touched";

  set_normals(y, 9);
  linear(stream, x, weight, Tensor(), y);
  EXPECT_LT(difference(y, reference(c, values(x), values(weight), {})), 1e-6);
}

TEST_P(Linear, AddsAResidual) {
  // A residual whose stride differs from y's.
  const OwnedTensor wide_y = poisoned({c.tokens, c.outputs + c.wider});
  const OwnedTensor wide_residual = normals({c.tokens, c.outputs + 8}, 7);
  const Tensor y = wide_y->slice(1, c.first, c.outputs);
  const Tensor residual = wide_residual->slice(1, 8, c.outputs);
  for (const Tensor& added : {bias, Tensor()}) {
    linear(stream, x, weight, added, y, residual);
    const Numbers bias_ = added ? values(added) : Numbers();
    const Numbers expected = reference(c, values(x), values(weight), bias_);
    EXPECT_LT(difference(y, sum(expected, values(residual))), 1e-6);
    EXPECT_EQ(poison_left(wide_y), c.wider * c.tokens) << "the columns beside y were touched";
  }
}

TEST_P(Linear, BackwardEqualsTheEquation) {
  const Numbers dy_ = values(dy), x_ = values(x), weight_ = values(weight);
  const OwnedTensor wide_dx = poisoned({c.tokens, c.inputs + c.wider});
  const Tensor dx = wide_dx->slice(1, c.first, c.inputs);
  linear_backward_input(stream, dy, weight, dx);
  const Numbers expected = product(c.tokens, c.inputs, c.outputs, element(dy_, c.outputs),
                                   transposed(weight_, c.inputs));
  EXPECT_LT(difference(dx, expected), 1e-6);
  EXPECT_EQ(poison_left(wide_dx), c.wider * c.tokens);

  // Weight gradients are added to the old contents.
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
                                         Case{600, 20, 36, 1, 4, 8}, Case{9, 320, 132, 2, 4, 8},
                                         Case{0, 17, 5, 2}, Case{17, 0, 5, 2}, Case{17, 5, 0, 1}));

// Products that differ in one property: size, strides, or the alignment of an operand.
struct Kind {
  std::int64_t tokens = 16, inputs = 16, outputs = 16;
  std::int64_t x_wider = 0, x_first = 0, weight_wider = 0, weight_first = 0;
  std::int64_t y_wider = 0, y_first = 0;
  std::int64_t residual_wider = 0, residual_first = 0;
};

std::array<Numbers, 5> products(const Stream& stream, const Kind& kind, DType dtype) {
  const auto random = [&](std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    OwnedTensor tensor({rows, columns}, dtype);
    set_normals(tensor, seed);
    return tensor;
  };
  const OwnedTensor wide_x = random(kind.tokens, kind.inputs + kind.x_wider, 1);
  const OwnedTensor wide_weight = random(kind.outputs, kind.inputs + kind.weight_wider, 2);
  const OwnedTensor wide_y = random(kind.tokens, kind.outputs + kind.y_wider, 3);
  const OwnedTensor wide_residual = random(kind.tokens, kind.outputs + kind.residual_wider, 5);
  const Tensor residual = wide_residual->slice(1, kind.residual_first, kind.outputs);
  const Tensor x = wide_x->slice(1, kind.x_first, kind.inputs);
  const Tensor weight = wide_weight->slice(1, kind.weight_first, kind.inputs);
  const Tensor y = wide_y->slice(1, kind.y_first, kind.outputs);
  const OwnedTensor bias({kind.outputs}, dtype), dweight({kind.outputs, kind.inputs});
  set_normals(bias, 4);
  linear_backward_weight(stream, y, x, dweight, {});
  linear(stream, x, weight, bias, y);
  const Numbers biased = values(y);
  linear(stream, x, weight, bias, y, residual);
  const Numbers added = values(y);
  linear(stream, x, weight, {}, y);
  const Numbers unbiased = values(y);
  linear_backward_input(stream, y, weight, x);
  return {values(dweight), biased, added, unbiased, values(x)};
}

// A device chooses a kernel once for each kind of product, and must not use it for another kind.
TEST(Linear, KindsOfProductsOnOneStreamDoNotMixUp) {
  const std::vector<Kind> kinds{{},
                                {.tokens = 8},
                                {.inputs = 8, .x_wider = 8, .weight_wider = 8},
                                {.outputs = 8, .y_wider = 8},
                                {.x_wider = 16},
                                {.weight_wider = 16},
                                {.y_wider = 16},
                                {.x_wider = 16, .x_first = 1},
                                {.weight_wider = 16, .weight_first = 1},
                                {.y_wider = 16, .y_first = 1},
                                {.residual_wider = 16},
                                {.residual_wider = 16, .residual_first = 1}};
  const Stream shared(device());
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (!supports_matmul(shared, dtype)) continue;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      EXPECT_EQ(products(shared, kinds[i], dtype), products(Stream(device()), kinds[i], dtype))
          << name_of(dtype) << ", kind " << i;
    }
  }
}

TEST(Linear, RefusesWrongOperandsAndNamesThem) {
  const Stream stream(device());
  const OwnedTensor x({2, 3}), weight({4, 3}), y({2, 5}), bias({4});
  try {
    linear(stream, x, weight, bias, y);
    FAIL() << "a wrong shape was taken";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "linear: y is fp32 [2, 5], not fp32 [2, 4]");
  }
  const OwnedTensor right({2, 4});
  EXPECT_THROW(linear(stream, x, weight, bias, right, y), Error);
  const Device other = device() == Device::cpu ? Device::cuda : Device::cpu;
  const Tensor far(x->raw(), {2, 3}, DType::f32, other);
  EXPECT_THROW(linear(stream, far, weight, bias, OwnedTensor({2, 4})), Error);
}

}  // namespace
}  // namespace masformer
