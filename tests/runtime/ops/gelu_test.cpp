#include "runtime/ops/gelu.h"

#include <numbers>

#include <gtest/gtest.h>

#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

double reference(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

double slope(double x) {
  return numeric_gradient([](const Numbers& p) { return reference(p[0]); }, {x})[0];
}

class Gelu : public testing::TestWithParam<std::tuple<std::int64_t, int>> {};

TEST_P(Gelu, EqualsTheEquationAndItsSlope) {
  const auto [size, threads] = GetParam();
  const Stream stream(device(), threads);
  const OwnedTensor x = normals({size}, 1, 2), dy = normals({size}, 2);
  const OwnedTensor y = poisoned({size}), dx = poisoned({size});
  gelu(stream, x, y);
  gelu_backward(stream, x, dy, dx);
  Numbers expected_y, expected_dx;
  for (const double a : values(x)) {
    expected_y.push_back(reference(a));
    expected_dx.push_back(slope(a) * values(dy)[expected_dx.size()]);
  }
  EXPECT_LT(difference(y, expected_y), 2e-7);
  EXPECT_LT(difference(dx, expected_dx), 1e-6);

  // At any alignment, and without writing past the end.
  for (const std::int64_t lead : {1, 4}) {
    const OwnedTensor wide_x = poisoned({size + 8}), wide_y = poisoned({size + 8});
    const OwnedTensor wide_dx = poisoned({size + 8});
    const auto part = [&, columns = size](const Tensor& wide) {
      return wide.slice(0, lead, columns);
    };
    copy(stream, x, part(wide_x));
    gelu(stream, part(wide_x), part(wide_y));
    gelu_backward(stream, part(wide_x), dy, part(wide_dx));
    EXPECT_TRUE(same_bits(part(wide_y), y)) << "from element " << lead;
    EXPECT_TRUE(same_bits(part(wide_dx), dx)) << "from element " << lead;
    EXPECT_EQ(poison_left(wide_y) + poison_left(wide_dx), 2 * 8);
  }

  gelu_backward(stream, x, dy, dy);
  EXPECT_TRUE(same_bits(dx, dy)) << "in place gives other bits";
}

INSTANTIATE_TEST_SUITE_P(Sizes, Gelu,
                         testing::Combine(testing::Values<std::int64_t>(0, 1, 3, 17, 33, 257, 1000),
                                          testing::Values(1, 2, 3)));

TEST(Gelu, TailsAreIdentityAndZero) {
  const Stream stream(device());
  const OwnedTensor x = filled({6}, {-100, -20, -6, 0, 20, 100});
  const OwnedTensor y = poisoned({6}), dx = poisoned({6}), dy = filled({6}, Numbers(6, 1));
  gelu(stream, x, y);
  gelu_backward(stream, x, dy, dx);
  for (std::size_t i = 0; i < 6; ++i) {
    const double a = values(x)[i];
    EXPECT_NEAR(values(y)[i], reference(a), 1e-6 * std::abs(a)) << a;
    EXPECT_NEAR(values(dx)[i], slope(a), 1e-6) << a;
  }
}

}  // namespace
}  // namespace masformer
