#include "runtime/ops/elementwise.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

class Elementwise : public testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, int>> {
 protected:
  const std::int64_t tokens = std::get<0>(GetParam()), features = std::get<1>(GetParam());
  const Stream stream{Device::cpu, std::get<2>(GetParam())};
};

TEST_P(Elementwise, AddsAResidual) {
  const OwnedTensor wide_x = poisoned({tokens, features + 3});
  const OwnedTensor wide_y = poisoned({tokens, features + 2});
  const Tensor x = wide_x->slice(1, 1, features), y = wide_y->slice(1, 2, features);
  const OwnedTensor bias = normals({features}, 1);
  set_normals(x, 2);
  set_normals(y, 3);
  Numbers expected = sum(values(x), values(y));
  const Numbers b = values(bias);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += b[i % b.size()];
  add_residual(stream, x, bias, y);
  EXPECT_LT(difference(y, expected), 1e-7);
  add_residual(stream, x, Tensor(), y);
  EXPECT_LT(difference(y, sum(expected, values(x))), 1e-7);
  EXPECT_EQ(poison_left(wide_y), 2 * tokens);
}

TEST_P(Elementwise, SumsSquaresInDouble) {
  // 1e5 beside 1e-5: in fp32 the small ones would vanish.
  const OwnedTensor x = normals({tokens, features}, 4, 1e-5);
  if (x->elements() > 0) x->data<float>()[0] = 1e5f;
  const double total = sum_of_squares(stream, x);
  const double expected = dot(values(x), values(x));
  EXPECT_NEAR(total, expected, 1e-14 * expected);
  EXPECT_EQ(total, sum_of_squares(stream, x)) << "other bits the second time";
}

TEST_P(Elementwise, FillsAndCopies) {
  const OwnedTensor from = normals({tokens, features}, 5), to = poisoned({tokens, features});
  copy(stream, from, to);
  EXPECT_TRUE(same_bits(from, to));
  fill_zero(stream, to);
  EXPECT_EQ(values(to), Numbers(static_cast<std::size_t>(to->elements()), 0.0));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Elementwise,
                         testing::Combine(testing::Values<std::int64_t>(0, 1, 3, 33),
                                          testing::Values<std::int64_t>(1, 17, 257, 1000),
                                          testing::Values(1, 2, 3)));

TEST(ElementwiseChecks, RefuseGapsAndOtherShapes) {
  const Stream stream(Device::cpu);
  const OwnedTensor wide({4, 8}), narrow({4, 3}), numbers({4, 3}, DType::i32);
  const Tensor gaps = wide->slice(1, 0, 3);
  EXPECT_THROW(fill_zero(stream, gaps), Error);
  EXPECT_THROW(sum_of_squares(stream, gaps), Error);
  EXPECT_THROW(copy(stream, narrow, gaps), Error);
  EXPECT_THROW(copy(stream, narrow, numbers), Error);
  EXPECT_THROW(add_residual(stream, narrow, Tensor(), wide), Error);
}

}  // namespace
}  // namespace masformer
