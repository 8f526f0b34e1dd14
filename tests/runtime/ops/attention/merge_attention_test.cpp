#include "runtime/ops/attention/merge_attention.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/attention/attention.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Sizes {
  int64_t batch, queries, heads, dim,
      gap;  // gap: elements that each row is shorter than its memory
};

// Memory that is filled with NaN, and the operands in a part of it.
struct Operands {
  Operands(const Sizes& s, DType dtype)
      : out_memory(poisoned({s.batch, s.queries + 1, s.heads, s.dim + s.gap}, dtype)),
        lse_memory(poisoned({s.batch, s.heads, s.queries + 3})),
        out(out_memory->slice(1, 1, s.queries).slice(3, s.gap, s.dim)),
        lse(lse_memory->slice(2, 2, s.queries)) {}

  void fill(std::uint64_t seed) const {
    set_normals(out, seed);
    set_normals(lse, seed + 1, 3);
  }

  OwnedTensor out_memory, lse_memory;
  Tensor out, lse;
};

int64_t numbers_in(const Tensor& x) {
  int64_t count = 0;
  for (const double number : values(x)) count += std::isnan(number) ? 0 : 1;
  return count;
}

// The position in lse of the row that has element `i` of out.
std::size_t row_of(const Sizes& s, std::size_t i) {
  const auto element = static_cast<int64_t>(i);
  const int64_t head = element / s.dim % s.heads, query = element / s.dim / s.heads % s.queries;
  const int64_t batch = element / s.dim / s.heads / s.queries;
  return static_cast<std::size_t>((batch * s.heads + head) * s.queries + query);
}

struct Merged {
  Numbers out, lse;
};

Merged merged(const Sizes& s, const Operands& own, const Operands& other) {
  Merged result{values(own.out), values(own.lse)};
  const Numbers other_out = values(other.out), other_lse = values(other.lse), lse = result.lse;
  for (std::size_t i = 0; i < lse.size(); ++i) {
    result.lse[i] = std::log(std::exp(lse[i]) + std::exp(other_lse[i]));
  }
  for (std::size_t i = 0; i < result.out.size(); ++i) {
    const std::size_t row = row_of(s, i);
    result.out[i] = std::exp(lse[row] - result.lse[row]) * result.out[i] +
                    std::exp(other_lse[row] - result.lse[row]) * other_out[i];
  }
  return result;
}

class MergeAttention : public testing::TestWithParam<std::tuple<DType, DType, int>> {
 protected:
  const DType dtype = std::get<0>(GetParam()), other_dtype = std::get<1>(GetParam());
  const Stream stream{device(), std::get<2>(GetParam())};
};

TEST_P(MergeAttention, EqualsTheEquation) {
  for (const Sizes& s : {Sizes{1, 1, 1, 1, 0}, Sizes{2, 7, 3, 5, 0}, Sizes{2, 9, 17, 16, 3},
                         Sizes{3, 37, 2, 64, 0}, Sizes{2, 5, 19, 24, 8}, Sizes{1, 3, 2, 2056, 0}}) {
    SCOPED_TRACE(testing::Message() << s.batch << ' ' << s.queries << ' ' << s.heads << ' ' << s.dim
                                    << " gap " << s.gap);
    const Operands own(s, dtype), other(s, other_dtype);
    own.fill(1);
    other.fill(3);
    const Merged expected = merged(s, own, other);
    merge_attention(stream, {own.out, own.lse, other.out, other.lse});
    Numbers rounded = expected.out;
    for (double& x : rounded) x = double(float(bfloat16(static_cast<float>(x))));
    const double rounding = dtype == DType::bf16 ? difference(rounded, expected.out) : 0;
    EXPECT_LT(difference(own.out, expected.out), 1e-6 + 1.1 * rounding);
    EXPECT_LT(difference(own.lse, expected.lse), 1e-6);
    EXPECT_EQ(numbers_in(own.out_memory), own.out.elements());
    EXPECT_EQ(numbers_in(own.lse_memory), own.lse.elements());
    EXPECT_EQ(numbers_in(other.out_memory), other.out.elements());
  }
}

// Queries 0, 3, ... see keys in neither set, 1, 4, ... in their own alone, 2, 5, ... in the other.
TEST_P(MergeAttention, KeepsTheSideThatSawKeys) {
  const Sizes s{2, 9, 3, 40, 0};
  const Operands own(s, dtype), other(s, other_dtype);
  own.fill(1);
  other.fill(3);
  for (int64_t query = 0; query < s.queries; ++query) {
    const auto hide = [&](const Operands& side) {
      set(side.lse.slice(2, query, 1), [](int64_t) { return -infinity; });
      set(side.out.slice(1, query, 1), [](int64_t) { return nan; });
    };
    if (query % 3 != 1) hide(own);
    if (query % 3 != 2) hide(other);
  }
  const Numbers own_out = values(own.out), own_lse = values(own.lse);
  const Numbers other_out = values(other.out), other_lse = values(other.lse);
  merge_attention(stream, {own.out, own.lse, other.out, other.lse});
  const Numbers out = values(own.out), lse = values(own.lse);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t row = row_of(s, i), kind = row % static_cast<std::size_t>(s.queries) % 3;
    const auto other_number = static_cast<float>(other_out[i]);
    const float copied =
        dtype == DType::bf16 ? static_cast<float>(bfloat16(other_number)) : other_number;
    EXPECT_EQ(out[i], kind == 0 ? 0 : kind == 1 ? own_out[i] : double(copied)) << i;
    EXPECT_EQ(lse[row], kind == 2 ? other_lse[row] : own_lse[row]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, MergeAttention,
                         testing::Combine(testing::Values(DType::f32, DType::bf16),
                                          testing::Values(DType::f32, DType::bf16),
                                          testing::Values(1, 3)));

TEST(MergeOfAttention, KeepsSmallWeightsOfLargeScores) {
  const Sizes s{1, 2, 1, 8, 0};
  const Operands own(s, DType::f32), other(s, DType::f32);
  const auto fill = [](const Tensor& x, double first, double second) {
    set(x, [&](int64_t i) { return i < x.elements() / 2 ? first : second; });
  };
  fill(own.out, 1, 1);
  fill(other.out, 1000, 1000);
  fill(own.lse, 300, -300);  // exp() of either overflows or vanishes in fp32
  fill(other.lse, 290, -290);
  merge_attention(Stream(device()), {own.out, own.lse, other.out, other.lse});
  const double small = std::exp(-10.0) / (1 + std::exp(-10.0));
  EXPECT_NEAR(values(own.out)[0], 1 + 999 * small, 1e-6);
  EXPECT_NEAR(values(own.out)[8], 1000 - 999 * small, 1e-3);
  EXPECT_NEAR(values(own.lse)[0], 300 + std::log1p(std::exp(-10.0)), 1e-4);
  EXPECT_NEAR(values(own.lse)[1], -290 + std::log1p(std::exp(-10.0)), 1e-4);
}

TEST(MergeOfAttention, PassesNaNOn) {
  const Sizes s{1, 2, 1, 8, 0};
  for (const bool in_own : {true, false}) {
    const Operands own(s, DType::f32), other(s, DType::f32);
    own.fill(1);
    other.fill(3);
    set((in_own ? own : other).lse.slice(2, 1, 1), [](int64_t) { return nan; });
    merge_attention(Stream(device()), {own.out, own.lse, other.out, other.lse});
    EXPECT_EQ(poison_left(own.out), s.dim);
    EXPECT_EQ(poison_left(own.lse), 1);
  }
}

// The attention over all keys, and over three parts of them; some queries see no key of a part.
TEST(MergeOfAttention, OfPartsOfTheKeysIsTheWhole) {
  const Stream stream(device(), 2);
  const Sizes s{2, 50, 3, 24, 0};
  const OwnedTensor q = normals({s.batch, s.queries, s.heads, s.dim}, 1);
  const OwnedTensor k = normals({s.batch, s.queries, s.heads, s.dim}, 2);
  const OwnedTensor v = normals({s.batch, s.queries, s.heads, s.dim}, 3);
  const auto attend = [&](int64_t begin, int64_t end, const Operands& to) {
    attention(stream, {.q = q,
                       .k = k->slice(1, begin, end - begin),
                       .v = v->slice(1, begin, end - begin),
                       .mask = {parse_span("window:20"), 0, begin},
                       .scale = 0.2f,
                       .out = to.out,
                       .lse = to.lse});
  };
  const Operands whole(s, DType::f32), sum(s, DType::f32), part(s, DType::f32);
  attend(0, 50, whole);
  attend(30, 50, sum);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 11}, {11, 30}}) {
    attend(begin, end, part);
    merge_attention(stream, {sum.out, sum.lse, part.out, part.lse});
  }
  EXPECT_LT(difference(sum.out, values(whole.out)), 1e-6);
  EXPECT_LT(difference(sum.lse, values(whole.lse)), 1e-6);
}

TEST(MergeOfAttention, OfNothingIsNoWork) {
  for (const Sizes& s : {Sizes{0, 2, 2, 4, 0}, Sizes{2, 0, 2, 4, 0}, Sizes{2, 2, 0, 4, 0}}) {
    const Operands own(s, DType::f32), other(s, DType::bf16);
    EXPECT_NO_THROW(merge_attention(Stream(device(), 2), {own.out, own.lse, other.out, other.lse}));
  }
}

TEST(MergeOfAttention, RefusesOtherShapesAndDtypes) {
  const Stream stream(device());
  const OwnedTensor out({2, 3, 4, 5}), lse({2, 4, 3}), integers({2, 3, 4, 5}, DType::i32);
  EXPECT_THROW(merge_attention(stream, {out, lse, out->slice(3, 0, 4), lse}), Error);
  EXPECT_THROW(merge_attention(stream, {out, lse->slice(2, 0, 2), out, lse}), Error);
  EXPECT_THROW(merge_attention(stream, {out, lse, out, lse->swapped(0, 1)}), Error);
  EXPECT_THROW(merge_attention(stream, {out, lse, integers, lse}), Error);
  EXPECT_THROW(merge_attention(stream, {out->reshape({6, 4, 5}), lse, out, lse}), Error);
}

}  // namespace
}  // namespace masformer
