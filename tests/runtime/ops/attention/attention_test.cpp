// Attention against a plain double implementation that looks at every pair.
#include "runtime/ops/attention/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/random.h"
#include "tests/runtime/ops/attention/attention_case.h"
#include "tests/support/spans.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// How many elements are not NaN.
int64_t numbers_in(const std::vector<OwnedTensor>& memory) {
  int64_t count = 0;
  for (const OwnedTensor& tensor : memory) count += tensor->elements() - poison_left(tensor);
  return count;
}

class AttentionTest : public testing::TestWithParam<Case> {};

TEST_P(AttentionTest, MatchesTheDefinition) {
  const Case& c = GetParam();
  Call call(c);
  call.forward(c);
  call.backward(c);
  const Reference want = call.expected(c);
  expect_forward(call, want);
  expect_gradients(c, call, want);
  // Memory between the rows of a view is not written.
  EXPECT_EQ(call.out_field.memory->elements() - poison_left(call.out_field.memory),
            call.out.elements());
  const Three& gradient = call.gradient;
  EXPECT_EQ(numbers_in(gradient.memory),
            gradient.q.elements() + gradient.k.elements() + gradient.v.elements());
}

TEST_P(AttentionTest, HasTheSameBitsForAnyNumberOfThreads) {
  const Case& c = GetParam();
  const auto bits = [&](int threads) {
    Call call(c);
    call.forward(c, threads);
    call.backward(c, threads);
    return call.bits();
  };
  const auto one = bits(1);
  EXPECT_EQ(one, bits(2));
  EXPECT_EQ(one, bits(3));
}

// The slope of the loss along a random direction, by central differences of the definition.
TEST_P(AttentionTest, BackwardIsTheSlopeOfTheForward) {
  const Case& c = GetParam();
  Call call(c);
  call.forward(c);
  call.backward(c);
  const Numbers dout = values(call.dout);
  std::array<Numbers, 3> x{values(call.input.q), values(call.input.k), values(call.input.v)};
  const std::array<Numbers, 3> gradient{values(call.gradient.q), values(call.gradient.k),
                                        values(call.gradient.v)};
  for (std::size_t which = 0; which < 3; ++which) {
    constexpr double step = 1e-4;
    const Numbers start = x[which];
    double slope = 0, scale = 0;
    std::array<double, 2> loss{};
    for (std::size_t side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < start.size(); ++i) {
        x[which][i] = start[i] + (side == 0 ? -step : step) * normal(which + 10, i);
      }
      loss[side] = reference(c, {x[0], x[1], x[2], dout, {}}).loss;
    }
    for (std::size_t i = 0; i < start.size(); ++i) {
      slope += gradient[which][i] * normal(which + 10, i);
      scale += std::abs(gradient[which][i] * normal(which + 10, i));
    }
    EXPECT_NEAR(slope, (loss[1] - loss[0]) / (2 * step), 1e-5 * scale + 1e-6 * norm(dout)) << which;
    x[which] = start;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(
        Case{"full", 1, 1, 1, 1, 1, 1, 0, 0, Layout::contiguous, 1.0f},
        Case{"full", 2, 37, 37, 3, 3, 16, 0, 0, Layout::fused, 0.25f},
        Case{"full", 1, 259, 259, 2, 1, 64, 0, 0, Layout::fused, 0.125f},
        Case{"full", 1, 130, 230, 2, 2, 33, 100, 0, Layout::gaps, 0.2f},
        Case{"full", 1, 97, 150, 1, 1, 7, 0, 40, Layout::gaps, 1.0f},  // early queries see no key
        Case{"full", 1, 40, 60, 2, 2, 8, 0, 100, Layout::contiguous, 1},  // no query sees a key
        Case{"window:1", 1, 70, 70, 2, 1, 5, 0, 0, Layout::fused, 1.0f},
        Case{"window:13", 2, 200, 200, 4, 2, 20, 0, 0, Layout::fused, 0.3f},
        Case{"window:64", 1, 300, 300, 2, 2, 64, 0, 0, Layout::contiguous, 0.125f},
        Case{"window:50", 1, 140, 90, 3, 1, 31, 60, 20, Layout::gaps, 0.2f},  // no key at both ends
        Case{"window:1000", 1, 129, 129, 1, 1, 128, 0, 0, Layout::contiguous, 0.09f},
        Case{"window:300", 1, 400, 700, 1, 1, 65, 300, 0, Layout::gaps, 0.12f},
        Case{"full", 1, 70, 75, 2, 2, 200, 5, 0, Layout::gaps, 0.07f},
        Case{"window:40", 1, 130, 130, 2, 1, 256, 0, 0, Layout::fused, 0.0625f},
        Case{"block:1", 1, 45, 45, 2, 2, 9, 0, 0, Layout::contiguous, 0.5f},
        Case{"block:17", 2, 100, 100, 6, 3, 24, 0, 0, Layout::fused, 0.2f},
        Case{"block:64", 1, 290, 290, 2, 2, 64, 0, 0, Layout::fused, 0.125f},
        Case{"block:40", 1, 150, 200, 2, 1, 12, 77, 13, Layout::gaps, 0.3f}));

// Every kind of span: within a tile of keys, of about one tile, and across many.
INSTANTIATE_TEST_SUITE_P(
    Spans, AttentionTest, testing::ValuesIn([] {
      std::vector<Case> cases;
      for (const Span& span : example_spans({1, 5, 64, 113})) {
        cases.push_back({to_string(span), 1, 170, 170, 2, 1, 24, 0, 0, Layout::fused, 0.25f});
      }
      return cases;
    }()));

// A context rank merges partial results over parts of the keys, and sums their gradients.
TEST(Attention, PartsOverDisjointKeysMergeToTheWhole) {
  for (const Span& each : example_spans({33, 50})) {
    const std::string span = to_string(each);
    const Case whole{span, 1, 150, 150, 2, 1, 32, 0, 0, Layout::contiguous, 0.2f};
    constexpr int64_t cut = 71;
    Call call(whole);
    call.forward(whole);
    call.backward(whole);
    std::array<Case, 2> parts{whole, whole};
    parts[0].keys = cut;
    parts[1].keys = whole.keys - cut;
    parts[1].key_offset = cut;
    std::array<Call, 2> part{Call(parts[0]), Call(parts[1])};
    for (std::size_t p = 0; p < 2; ++p) {
      part[p].input.k = call.input.k.slice(1, parts[p].key_offset, parts[p].keys);
      part[p].input.v = call.input.v.slice(1, parts[p].key_offset, parts[p].keys);
      part[p].forward(parts[p]);
    }
    const Numbers lse = values(call.lse);
    const std::array<Numbers, 2> part_lse{values(part[0].lse), values(part[1].lse)};
    const std::array<Numbers, 2> part_out{values(part[0].out), values(part[1].out)};
    Numbers merged(part_out[0].size());
    for (std::size_t i = 0; i < merged.size(); ++i) {
      const auto head_dim = static_cast<std::size_t>(whole.dim);
      const auto heads = static_cast<std::size_t>(whole.heads);
      const std::size_t query = i / head_dim / heads, head = i / head_dim % heads;
      const std::size_t row = head * static_cast<std::size_t>(whole.queries) + query;
      for (std::size_t p = 0; p < 2; ++p) {
        merged[i] += std::exp(part_lse[p][row] - lse[row]) * part_out[p][i];
      }
    }
    EXPECT_LT(error(merged, values(call.out)), 1e-6) << span;

    Numbers dq(merged.size()), dk, dv;
    for (std::size_t p = 0; p < 2; ++p) {
      part[p].out = call.out;  // already merged
      part[p].lse = call.lse;
      part[p].backward(parts[p]);
      const Numbers part_dq = values(part[p].gradient.q);
      for (std::size_t i = 0; i < dq.size(); ++i) dq[i] += part_dq[i];
      const Numbers part_dk = values(part[p].gradient.k), part_dv = values(part[p].gradient.v);
      dk.insert(dk.end(), part_dk.begin(), part_dk.end());
      dv.insert(dv.end(), part_dv.begin(), part_dv.end());
    }
    EXPECT_LT(error(dq, values(call.gradient.q)), 1e-6) << span;
    EXPECT_LT(error(dk, values(call.gradient.k)), 1e-6) << span;
    EXPECT_LT(error(dv, values(call.gradient.v)), 1e-6) << span;
  }
}

// x [B, K, M, D] in memory [K, B, M D], as rows arrive from other ranks: the stride of B is smaller
// than that of K.
struct Interleaved {
  explicit Interleaved(const Shape& shape)
      : memory(poisoned({shape[1], shape[0], shape[2] * shape[3]})),
        x(memory->swapped(0, 1).reshape(shape)) {}

  OwnedTensor memory;
  Tensor x;
};

TEST(Attention, GivesTheSameBitsWhereKeysOfTheBatchAreInterleaved) {
  for (const auto& [heads, dim] : {std::pair{4, 20}, {2, 64}}) {
    const Case c{"window:50", 3, 60, 139, heads, 2, dim, 79, 0, Layout::contiguous, 0.2f};
    Call call(c);
    call.forward(c, 2);
    call.backward(c, 2);
    const Interleaved k(c.key_shape()), v(c.key_shape()), dk(c.key_shape()), dv(c.key_shape());
    Call again(c);
    set_normals(k.x, 2);
    set_normals(v.x, 3);
    again.input.k = k.x;
    again.input.v = v.x;
    again.gradient.k = dk.x;
    again.gradient.v = dv.x;
    again.forward(c, 2);
    again.backward(c, 2);
    EXPECT_EQ(values(again.out), values(call.out));
    EXPECT_EQ(values(again.lse), values(call.lse));
    EXPECT_EQ(values(again.gradient.q), values(call.gradient.q));
    EXPECT_EQ(values(dk.x), values(call.gradient.k));
    EXPECT_EQ(values(dv.x), values(call.gradient.v));
    EXPECT_GT(norm(values(call.out)), 1);
  }
}

// Puts NaN into a token's first number.
void mark(const Tensor& x, int64_t token) {
  set(x.slice(1, token, 1).slice(2, 0, 1).slice(3, 0, 1), [](int64_t) { return nan; });
}

int64_t marked_tokens(const Tensor& x) {
  return poison_left(x.slice(2, 0, 1).slice(3, 0, 1));
}

// A NaN spreads to everything that is computed from it, so that the number of NaN rows counts
// visits. They stay within a tile or two of the window, however long the sequence is.
TEST(Attention, NeverVisitsBlocksThatTheMaskHides) {
  constexpr int64_t window = 64, slack = 96;
  const Case c{"window:64", 1, 2048, 2048, 1, 1, 16, 0, 0, Layout::contiguous, 0.25f};
  for (const int64_t marked : {0, 777, 1500, 2047}) {
    Call call(c);
    call.forward(c);
    mark(call.dout, marked);
    call.backward(c);
    EXPECT_GE(marked_tokens(call.gradient.v), std::min(marked + 1, window));
    EXPECT_LE(marked_tokens(call.gradient.v), window + slack);
    EXPECT_LE(marked_tokens(call.gradient.k), window + slack);
    EXPECT_EQ(marked_tokens(call.gradient.q), 1);

    Call again(c);
    mark(again.input.v, marked);
    again.forward(c);
    EXPECT_GE(marked_tokens(again.out), std::min(c.keys - marked, window));
    EXPECT_LE(marked_tokens(again.out), window + slack);
    again.backward(c);
    EXPECT_LE(marked_tokens(again.gradient.q), window + slack);
  }
}

// Exactly, since AdamW would turn rounding noise into steps of full size.
TEST(Attention, GradientsOfQAndKAreZeroWhereEachQuerySeesOneKey) {
  for (const Case& c : {Case{"window:1", 2, 300, 300, 4, 2, 33, 0, 0, Layout::fused, 0.3f},
                        Case{"window:1", 1, 70, 40, 2, 2, 16, 30, 50, Layout::gaps, 0.25f},
                        Case{"full", 3, 1, 1, 2, 1, 64, 0, 0, Layout::fused, 0.125f},
                        Case{"block:8", 2, 1, 1, 2, 2, 8, 0, 0, Layout::contiguous, 0.3f}}) {
    Call call(c);
    call.forward(c);
    call.backward(c);
    for (const Tensor& x : {call.gradient.q, call.gradient.k}) {
      for (const double value : values(x)) ASSERT_EQ(value, 0) << c;
    }
    EXPECT_LT(error(values(call.gradient.v), call.expected(c).dv), 1e-6) << c;
  }
}

TEST(Attention, HugeScoresStayFinite) {
  const Case c{"full", 1, 200, 200, 1, 1, 64, 0, 0, Layout::contiguous, 100.0f};
  Call call(c);
  call.forward(c);
  call.backward(c);
  for (const Tensor& x : {call.out, call.gradient.q, call.gradient.k, call.gradient.v}) {
    for (const double value : values(x)) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const Case c{"full", 1, 8, 8, 4, 2, 8, 0, 0, Layout::contiguous, 1.0f};
  Call call(c);
  const Stream stream(device());
  const auto message = [&](const AttentionForward& args, const Stream& on) -> std::string {
    try {
      attention(on, args);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const AttentionForward good{call.input.q, call.input.k, call.input.v, call.mask(c), 1,
                              call.out,     call.lse};
  EXPECT_EQ(message(good, stream), "");
  AttentionForward bad = good;
  bad.k = bad.v = call.input.q.slice(2, 0, 3);
  EXPECT_NE(message(bad, stream).find("3 key/value heads don't divide 4"), std::string::npos);
  bad = good;
  bad.v = call.input.v.slice(1, 0, 7);
  EXPECT_NE(message(bad, stream).find("[1, 7, 2, 8]"), std::string::npos) << message(bad, stream);
  bad = good;
  bad.mask.key_offset = -1;
  EXPECT_NE(message(bad, stream).find("key offset -1"), std::string::npos);
}

}  // namespace
}  // namespace masformer
