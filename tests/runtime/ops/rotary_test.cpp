#include "runtime/ops/rotary.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

struct Case {
  int64_t tokens, heads, head_dim;
  double theta = 10000;

  Shape shape() const { return {tokens, heads * head_dim}; }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << " tokens, " << c.heads << " heads of " << c.head_dim << ", theta "
             << c.theta;
}

// Sizes around those of vectors, of packs of 16 bytes, and of a CUDA block's tokens and pairs.
constexpr Case cases[] = {{1, 1, 2},   {5, 3, 6, 500}, {37, 2, 10},       {9, 4, 64, 1e6},
                          {8, 2, 16},  {3, 1, 130},    {17, 3, 128, 5e5}, {2, 1, 258, 1.5},
                          {16, 5, 36}, {100, 1, 8}};

// Small positions in no order, the largest that a long context has, and the largest of all.
int64_t position(int64_t token) {
  constexpr int64_t far[] = {0, 131'071, 131'072, 1'000'003, 16'777'217, 2'147'483'647};
  return token % 2 == 1 ? token * 7 % 41 : far[token / 2 % 6];
}

OwnedTensor positions_of(int64_t tokens) {
  return integers(tokens, position);
}

// The definition, in extended precision.
Numbers rotated(const Numbers& x, const Case& c, bool inverse = false) {
  Numbers result(x.size());
  const int64_t pairs = c.head_dim / 2;
  for (int64_t token = 0; token < c.tokens; ++token) {
    for (int64_t head = 0; head < c.heads; ++head) {
      for (int64_t i = 0; i < pairs; ++i) {
        const auto exponent = -2.0L * static_cast<long double>(i) / c.head_dim;
        const auto angle = static_cast<long double>(position(token)) *
                           std::pow(static_cast<long double>(c.theta), exponent) *
                           (inverse ? -1 : 1);
        const auto cosine = double(std::cos(angle)), sine = double(std::sin(angle));
        const auto a = static_cast<std::size_t>((token * c.heads + head) * c.head_dim + i);
        const auto b = a + static_cast<std::size_t>(pairs);
        result[a] = x[a] * cosine - x[b] * sine;
        result[b] = x[b] * cosine + x[a] * sine;
      }
    }
  }
  return result;
}

// The number of threads.
class Rotary : public testing::TestWithParam<int> {
 protected:
  const Stream stream{device(), GetParam()};
};

TEST_P(Rotary, RotatesPairsOfElementsByTheirAngles) {
  for (const Case& c : cases) {
    for (const bool inverse : {false, true}) {
      SCOPED_TRACE(testing::Message() << c << (inverse ? ", inverse" : ""));
      const OwnedTensor x = normals(c.shape(), 1);
      const Numbers expected = rotated(values(x), c, inverse);
      rotary(stream, x, positions_of(c.tokens), {c.head_dim, c.theta, inverse});
      EXPECT_LT(difference(x, expected), 1.5e-7);
    }
  }
}

TEST_P(Rotary, InBf16RoundsTheFp32ResultOnce) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c);
    const OwnedTensor x(c.shape(), DType::bf16), exact(c.shape());
    set_normals(x, 1);
    const Numbers numbers = values(x);
    set(exact, [&](int64_t i) { return numbers[static_cast<std::size_t>(i)]; });
    rotary(stream, x, positions_of(c.tokens), {c.head_dim, c.theta});
    rotary(stream, exact, positions_of(c.tokens), {c.head_dim, c.theta});
    Numbers expected = values(exact);
    for (double& number : expected) number = double(float(bfloat16(static_cast<float>(number))));
    EXPECT_EQ(values(x), expected);
  }
}

TEST_P(Rotary, RotatesBackByTheInverse) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c);
    const OwnedTensor x = normals(c.shape(), 1);
    const Numbers before = values(x);
    rotary(stream, x, positions_of(c.tokens), {c.head_dim, c.theta});
    rotary(stream, x, positions_of(c.tokens), {c.head_dim, c.theta, true});
    EXPECT_LT(difference(x, before), 2e-7);
  }
}

// q and k in the rows of a fused buffer; what is beside them does not change.
TEST_P(Rotary, RotatesRowsThatLieApart) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t gap : {1, 8}) {
      for (const Case& c : cases) {
        SCOPED_TRACE(testing::Message() << c << ", gap " << gap);
        const OwnedTensor wide = poisoned({c.tokens, 2 * gap + c.shape()[1]}, dtype);
        const Tensor part = wide->slice(1, gap, c.shape()[1]);
        const OwnedTensor alone(c.shape(), dtype);
        set_normals(part, 1);
        set_normals(alone, 1);
        rotary(stream, part, positions_of(c.tokens), {c.head_dim, c.theta});
        rotary(stream, alone, positions_of(c.tokens), {c.head_dim, c.theta});
        EXPECT_EQ(values(part), values(alone));
        int64_t outside = 0;
        for (const double x : values(wide)) outside += std::isnan(x) ? 1 : 0;
        EXPECT_EQ(outside, 2 * gap * c.tokens);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Rotary, testing::Values(1, 3));

// The product of a query and a key depends on the distance of their positions only.
TEST(RotaryProducts, DependOnDistances) {
  const Case c{2, 1, 64};
  const auto product = [&](int64_t query, int64_t key) {
    const OwnedTensor x = normals(c.shape(), 1);
    rotary(Stream(device()), x, integers(2, [&](int64_t i) { return i == 0 ? query : key; }),
           {c.head_dim, c.theta});
    const Numbers rows = values(x);
    return dot({rows.begin(), rows.begin() + c.head_dim}, {rows.begin() + c.head_dim, rows.end()});
  };
  EXPECT_NEAR(product(1'000'007, 1'000'002), product(5, 0), 1e-5);
  EXPECT_GT(std::abs(product(6, 0) - product(5, 0)), 1e-2);
}

TEST(RotaryOfNothing, IsNoWork) {
  const OwnedTensor no_token({0, 8}), no_head({3, 0});
  const Stream stream(device(), 2);
  EXPECT_NO_THROW(rotary(stream, no_token, positions_of(0), {4}));
  EXPECT_NO_THROW(rotary(stream, no_head, positions_of(3), {4}));
}

TEST(RotaryChecks, RefuseOtherShapesDtypesAndAngles) {
  const Stream stream(device());
  const OwnedTensor x({2, 12}), three({3}, DType::i32), at({2}, DType::i32), real({2});
  EXPECT_NO_THROW(rotary(stream, x, at, {6}));
  EXPECT_THROW(rotary(stream, x, three, {6}), Error);
  EXPECT_THROW(rotary(stream, x, real, {6}), Error);
  EXPECT_THROW(rotary(stream, at, at, {6}), Error);
  EXPECT_THROW(rotary(stream, x, at, {3}), Error);  // odd
  EXPECT_THROW(rotary(stream, x, at, {8}), Error);  // does not divide the width
  EXPECT_THROW(rotary(stream, x, at, {0}), Error);
  EXPECT_THROW(rotary(stream, x, at, {6, 0}), Error);
  EXPECT_THROW(rotary(stream, x, at, {6, -1}), Error);
}

}  // namespace
}  // namespace masformer
