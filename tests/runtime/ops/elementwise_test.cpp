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
  const Stream stream{device(), std::get<2>(GetParam())};
};

TEST_P(Elementwise, AddsAResidual) {
  const OwnedTensor bias = normals({features}, 1);
  // Slices whose start, and whose rows, are or are not aligned to 16 bytes.
  for (const auto& [lead, gaps] : {std::pair{1, 3}, {1, 8}, {8, 9}, {8, 16}}) {
    const Shape wide{tokens, features + gaps};
    const OwnedTensor wide_x = poisoned(wide), wide_y = poisoned(wide);
    const Tensor x = wide_x->slice(1, lead, features), y = wide_y->slice(1, lead, features);
    set_normals(x, 2);
    set_normals(y, 3);
    Numbers expected = sum(values(x), values(y));
    const Numbers b = values(bias);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += b[i % b.size()];
    const OwnedTensor apart = poisoned({tokens, features});
    add_residual(stream, x, bias, y, apart);
    EXPECT_LT(difference(apart, expected), 1e-7);
    add_residual(stream, x, bias, y, y);
    EXPECT_EQ(values(y), values(apart));
    add_residual(stream, x, Tensor(), y, y);
    EXPECT_LT(difference(y, sum(expected, values(x))), 1e-7);
    EXPECT_EQ(poison_left(wide_y), gaps * tokens);
  }
}

TEST_P(Elementwise, SumsSquaresInDouble) {
  // 1e5 and 1e-5: in fp32 the small ones would vanish.
  const OwnedTensor x = normals({tokens, features}, 4, 1e-5);
  if (x->elements() > 0) set(x->reshape({x->elements()}).slice(0, 0, 1), [](auto) { return 1e5; });
  const OwnedTensor sum({1}, DType::f64), again({1}, DType::f64);
  add_sum_of_squares(stream, {x}, sum);
  const double total = scalar(stream, sum), expected = dot(values(x), values(x));
  EXPECT_NEAR(total, expected, 1e-14 * expected);
  add_sum_of_squares(stream, {x}, again);
  EXPECT_EQ(total, scalar(stream, again)) << "other bits the second time";
  add_sum_of_squares(stream, {x}, sum);
  EXPECT_EQ(scalar(stream, sum), 2 * total);
}

TEST_P(Elementwise, SumsSquaresAtAnyAlignment) {
  const OwnedTensor x = normals({tokens * features}, 4), sum({1}, DType::f64);
  for (std::int64_t begin = 0; begin < std::min<std::int64_t>(5, x->elements()); ++begin) {
    const Tensor rest = x->slice(0, begin, x->elements() - begin);
    fill_zero(stream, sum);
    add_sum_of_squares(stream, {rest}, sum);
    const double expected = dot(values(rest), values(rest));
    EXPECT_NEAR(scalar(stream, sum), expected, 1e-13 * expected);
  }
}

// More tensors than fit one launch, of any size and alignment, like a rank's gradients.
TEST(SumOfSquares, ManyTensorsGiveTheSumOfEach) {
  const Stream stream(device(), 2);
  const OwnedTensor x = normals({600'000}, 4), sum({1}, DType::f64), again({1}, DType::f64);
  std::vector<Tensor> pieces;
  std::int64_t begin = 0;
  for (std::int64_t piece = 0; piece < 300; ++piece) {
    const std::int64_t size = piece % 100 == 7 ? 100'001 : piece * 37 % 1000;
    pieces.push_back(x->slice(0, begin, size));
    begin += size + piece % 3;
  }
  double expected = 0;
  for (const Tensor& piece : pieces) expected += dot(values(piece), values(piece));
  add_sum_of_squares(stream, pieces, sum);
  EXPECT_NEAR(scalar(stream, sum), expected, 1e-13 * expected);
  add_sum_of_squares(stream, pieces, again);
  EXPECT_TRUE(same_bits(sum, again));
  add_sum_of_squares(stream, {}, sum);
  EXPECT_TRUE(same_bits(sum, again)) << "of none is nothing";
}

// More elements than the device's blocks process at once.
TEST(SumOfSquares, LargeTensorGivesItsSum) {
  const Stream stream(device(), 2);
  const OwnedTensor x({9'000'001}), sum({1}, DType::f64);
  set(x, [](auto) { return 1; });
  add_sum_of_squares(stream, {x}, sum);
  EXPECT_EQ(scalar(stream, sum), 9'000'001);
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

TEST(ClipFactor, ScalesOnlyGradientsAboveTheLimit) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const struct {
    double squared_norm, largest_norm, factor;
  } cases[] = {{4, 1, 0.5},      {4, 3, 1}, {4, 2, 1},     {4, 0, 1},
               {1e60, 1, 1e-30}, {0, 1, 1}, {nan, 1, nan}, {infinity, 0, nan}};
  const Stream stream(device());
  const OwnedTensor factor = poisoned({1}), squared_norm({1}, DType::f64);
  for (const auto& c : cases) {
    double value = c.squared_norm;
    copy(stream, Tensor(&value, {1}, DType::f64, Device::cpu), squared_norm);
    clip_factor(stream, squared_norm, c.largest_norm, factor);
    const double found = values(factor)[0];
    if (std::isnan(c.factor)) {
      EXPECT_TRUE(std::isnan(found)) << c.squared_norm;
    } else {
      EXPECT_EQ(found, static_cast<float>(c.factor)) << c.squared_norm << " " << c.largest_norm;
    }
  }
}

TEST(ElementwiseChecks, RefuseGapsAndUnequalShapes) {
  const Stream stream(device());
  const OwnedTensor wide({4, 8}), narrow({4, 3}), numbers({4, 3}, DType::i32);
  const Tensor gaps = wide->slice(1, 0, 3);
  EXPECT_THROW(fill_zero(stream, gaps), Error);
  EXPECT_THROW(add_sum_of_squares(stream, {gaps}, OwnedTensor({1}, DType::f64)), Error);
  EXPECT_THROW(copy(stream, narrow, gaps), Error);
  EXPECT_THROW(copy(stream, narrow, numbers), Error);
  EXPECT_THROW(add_residual(stream, narrow, Tensor(), narrow, wide), Error);
}

}  // namespace
}  // namespace masformer
