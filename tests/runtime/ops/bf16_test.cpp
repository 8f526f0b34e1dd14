// Compares every op in bf16 with itself in fp32 on the same numbers; other tests compare fp32 with
// double. Results in bf16 may be off by at most twice their rounding to bf16, results in fp32 by
// the noise of fp32.
#include <cmath>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/bfloat16.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"
#include "runtime/ops/rotary.h"
#include "tests/support/has_bf16.h"
#include "tests/support/spans.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

double rounded(double x) {
  return double(float(bfloat16(static_cast<float>(x))));
}

Numbers rounded(Numbers numbers) {
  for (double& x : numbers) x = rounded(x);
  return numbers;
}

// Numbers that bf16 represents exactly, in a tensor of either type.
OwnedTensor input(const Shape& shape, std::uint64_t seed, DType dtype, double deviation = 1) {
  OwnedTensor tensor(shape, dtype);
  set(tensor, [&](std::int64_t i) {
    return rounded(deviation * normal(seed, static_cast<std::uint64_t>(i)));
  });
  return tensor;
}

struct Output {
  std::string name;
  Numbers numbers;
  DType dtype;
};

Output output(const std::string& name, const Tensor& tensor) {
  return {name, values(tensor), tensor.dtype()};
}

struct Sizes {
  std::int64_t tokens, inputs, outputs;
};

// One op, its inputs and outputs in `dtype`.
struct Op {
  const char* name;
  std::function<std::vector<Output>(const Stream&, DType, const Sizes&)> run;
  bool supports_matmul = false;
};

std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << op.name;
}

std::vector<Output> run_linear(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor wide = input({tokens, inputs + 8}, 1, dtype);
  const Tensor x = wide->slice(1, 8, inputs);
  const OwnedTensor weight = input({outputs, inputs}, 2, dtype);
  const OwnedTensor bias = input({outputs}, 3, dtype);
  const OwnedTensor y = poisoned({tokens, outputs}, dtype);
  const OwnedTensor unbiased = poisoned({tokens, outputs}, dtype);
  const OwnedTensor logits = poisoned({tokens, outputs});
  const OwnedTensor biased_logits = poisoned({tokens, outputs});
  linear(stream, x, weight, bias, y);
  linear(stream, x, weight, {}, unbiased);
  linear(stream, x, weight, {}, logits);
  linear(stream, x, weight, bias, biased_logits);
  const OwnedTensor added = poisoned({tokens, outputs}, dtype);
  linear(stream, x, weight, bias, added, input({tokens, outputs}, 4, dtype));
  return {output("y", y), output("unbiased", unbiased), output("logits", logits),
          output("biased logits", biased_logits), output("added", added)};
}

std::vector<Output> run_linear_backward(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor dy = input({tokens, outputs}, 1, dtype);
  const OwnedTensor x = input({tokens, inputs}, 2, dtype);
  const OwnedTensor weight = input({outputs, inputs}, 3, dtype);
  const OwnedTensor dx = poisoned({tokens, inputs}, dtype);
  const OwnedTensor dweight = input({outputs, inputs}, 4, DType::f32);
  const OwnedTensor dbias = input({outputs}, 5, DType::f32);
  linear_backward_input(stream, dy, weight, dx);
  linear_backward_weight(stream, dy, x, dweight, dbias);
  return {output("dx", dx), output("dweight", dweight), output("dbias", dbias)};
}

std::vector<Output> run_linear_gelu(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor x = input({tokens, inputs}, 1, dtype);
  const OwnedTensor weight = input({outputs, inputs}, 2, dtype, 0.1);
  const OwnedTensor bias = input({outputs}, 3, dtype);
  const OwnedTensor before = poisoned({tokens, outputs}, dtype);
  const OwnedTensor after = poisoned({tokens, outputs}, dtype);
  const OwnedTensor unbiased = poisoned({tokens, outputs}, dtype);
  const OwnedTensor unbiased_before = poisoned({tokens, outputs}, dtype);
  linear_gelu(stream, x, weight, bias, before, after);
  linear_gelu(stream, x, weight, {}, unbiased_before, unbiased);
  return {output("before", before), output("after", after),
          output("unbiased before", unbiased_before), output("unbiased", unbiased)};
}

std::vector<Output> run_linear_gelu_backward(const Stream& stream, DType dtype,
                                             const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor dy = input({tokens, outputs}, 1, dtype);
  const OwnedTensor weight = input({outputs, inputs}, 2, dtype);
  const OwnedTensor before = input({tokens, inputs}, 3, dtype);
  const OwnedTensor dbefore = poisoned({tokens, inputs}, dtype);
  linear_backward_input_gelu(stream, dy, weight, before, dbefore);
  return {output("dbefore", dbefore)};
}

struct AttentionCase {
  std::string name;
  Span span;
  std::int64_t batch, sequence, heads, kv_heads, dim;
};

std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << c.name;
}

// The heads of q, k and v are side by side, as in the model.
struct FusedHeads {
  FusedHeads(const Tensor& rows, const AttentionCase& c) {
    const std::int64_t width = c.heads * c.dim, kv_width = c.kv_heads * c.dim;
    const Shape kv_shape{c.batch, c.sequence, c.kv_heads, c.dim};
    q = rows.slice(1, 0, width).reshape({c.batch, c.sequence, c.heads, c.dim});
    k = rows.slice(1, width, kv_width).reshape(kv_shape);
    v = rows.slice(1, width + kv_width, kv_width).reshape(kv_shape);
  }
  Tensor q, k, v;
};

std::vector<Output> run_attention(const Stream& stream, DType dtype, const AttentionCase& c) {
  const Shape shape{c.batch, c.sequence, c.heads, c.dim};
  const Shape statistics{c.batch, c.heads, c.sequence};
  const Shape fused{c.batch * c.sequence, (c.heads + 2 * c.kv_heads) * c.dim};
  const OwnedTensor qkv = input(fused, 1, dtype, 0.6);
  const OwnedTensor dqkv = poisoned(fused, dtype);
  const FusedHeads heads(qkv, c), gradients(dqkv, c);
  const OwnedTensor out = poisoned(shape, dtype);
  const OwnedTensor lse = poisoned(statistics);
  const AttentionForward forward{.q = heads.q,
                                 .k = heads.k,
                                 .v = heads.v,
                                 .mask = {c.span},
                                 .scale = 2.5f / std::sqrt(static_cast<float>(c.dim)),
                                 .out = out,
                                 .lse = lse};
  attention(stream, forward);
  const Output result = output("out", out);
  set(out, [&](std::int64_t i) { return rounded(result.numbers[static_cast<std::size_t>(i)]); });

  const OwnedTensor dout = input(shape, 2, dtype);
  const OwnedTensor delta = poisoned(statistics);
  const OwnedTensor dq_sum = poisoned(shape);
  attention_backward(stream, {.q = heads.q,
                              .k = heads.k,
                              .v = heads.v,
                              .mask = forward.mask,
                              .scale = forward.scale,
                              .out = out,
                              .lse = lse,
                              .dout = dout,
                              .delta = delta,
                              .dq = gradients.q,
                              .dk = gradients.k,
                              .dv = gradients.v,
                              .dq_sum = dtype == DType::f32 ? Tensor() : Tensor(dq_sum)});
  return {result, output("lse", lse), output("dq", gradients.q), output("dk", gradients.k),
          output("dv", gradients.v)};
}

std::vector<Output> run_layer_norm(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const Shape shape{tokens, inputs};
  const OwnedTensor x = input(shape, 1, dtype);
  const OwnedTensor weight = input({inputs}, 2, dtype);
  const OwnedTensor bias = input({inputs}, 3, dtype);
  const OwnedTensor dy = input(shape, 4, dtype);
  const OwnedTensor residual = input(shape, 5, dtype);
  const OwnedTensor y = poisoned(shape, dtype);
  const OwnedTensor dx = poisoned(shape, dtype);
  const OwnedTensor mean = poisoned({tokens});
  const OwnedTensor rstd = poisoned({tokens});
  const OwnedTensor dweight = input({inputs}, 6, DType::f32);
  const OwnedTensor dbias = input({inputs}, 7, DType::f32);
  layer_norm(stream, x, weight, bias, 1e-5f, y, mean, rstd);
  layer_norm_backward(stream, {.dy = dy,
                               .x = x,
                               .weight = weight,
                               .mean = mean,
                               .rstd = rstd,
                               .residual = residual,
                               .dx = dx,
                               .dweight = dweight,
                               .dbias = dbias});
  return {output("y", y),   output("mean", mean),       output("rstd", rstd),
          output("dx", dx), output("dweight", dweight), output("dbias", dbias)};
}

std::vector<Output> run_gelu(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor x = input({tokens, inputs}, 1, dtype, 2);
  const OwnedTensor dy = input({tokens, inputs}, 2, dtype);
  const OwnedTensor y = poisoned({tokens, inputs}, dtype);
  const OwnedTensor dx = poisoned({tokens, inputs}, dtype);
  gelu(stream, x, y);
  gelu_backward(stream, x, dy, dx);
  return {output("y", y), output("dx", dx)};
}

std::vector<Output> run_rotary(const Stream& stream, DType dtype, const Sizes& sizes) {
  const std::int64_t heads = 4, head_dim = sizes.outputs / heads * 2;
  const OwnedTensor positions = integers(sizes.tokens, [](std::int64_t i) { return 12'345 * i; });
  const OwnedTensor x = input({sizes.tokens, heads * head_dim}, 1, dtype);
  const OwnedTensor dx = input({sizes.tokens, heads * head_dim}, 2, dtype);
  rotary(stream, x, positions, {head_dim});
  rotary(stream, dx, positions, {.head_dim = head_dim, .inverse = true});
  return {output("x", x), output("dx", dx)};
}

std::vector<Output> run_embedding(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor ids = integers(tokens, [](std::int64_t i) { return i * 7 % 31; });
  const OwnedTensor table = input({20, inputs}, 1, dtype);
  const OwnedTensor y = poisoned({tokens, inputs}, dtype);
  const OwnedTensor sum = input({tokens, inputs}, 2, dtype);
  const OwnedTensor dtable = input({20, inputs}, 3, DType::f32);
  embedding(stream, ids, table, 5, false, y);
  embedding(stream, ids, table, 5, true, sum);
  embedding_backward(stream, ids, input({tokens, inputs}, 4, dtype), 5, dtable);
  return {output("y", y), output("sum", sum), output("dtable", dtable)};
}

std::vector<Output> run_residual(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor x = input({tokens, inputs}, 1, dtype);
  const OwnedTensor y = input({tokens, inputs}, 2, dtype);
  const OwnedTensor unbiased = input({tokens, inputs}, 2, dtype);
  add_residual(stream, x, input({inputs}, 3, dtype), y, y);
  add_residual(stream, x, {}, unbiased, unbiased);
  return {output("y", y), output("unbiased", unbiased)};
}

std::vector<Output> run_cross_entropy_backward(const Stream& stream, DType dtype,
                                               const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor labels = integers(tokens, [](std::int64_t i) { return i % 3 == 0 ? -1 : i; });
  const OwnedTensor logits = input({tokens, outputs}, 1, DType::f32);
  const OwnedTensor lse = input({tokens}, 2, DType::f32);
  const OwnedTensor gradient = poisoned({tokens, outputs}, dtype);
  cross_entropy_backward(stream, logits, {.first = 2, .valid = 50}, labels, lse, 0.3f, gradient);
  return {output("gradient", gradient)};
}

std::vector<Output> run_copy(const Stream& stream, DType dtype, const Sizes& sizes) {
  const auto [tokens, inputs, outputs] = sizes;
  const OwnedTensor from = normals({tokens, inputs}, 1);
  const OwnedTensor narrow = poisoned({tokens, inputs}, dtype);
  const OwnedTensor wide = poisoned({tokens, inputs});
  copy(stream, from, narrow);
  copy(stream, input({tokens, inputs}, 2, dtype), wide);
  return {output("narrow", narrow), output("wide", wide)};
}

// Compares results in bf16 with those in fp32.
void expect_rounding_alone(const std::vector<Output>& actual, const std::vector<Output>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double noise = 3e-6;
    const double rounding = difference(rounded(expected[i].numbers), expected[i].numbers);
    const double bound = actual[i].dtype == DType::bf16 ? 2 * rounding : noise;
    EXPECT_LE(difference(actual[i].numbers, expected[i].numbers), bound) << actual[i].name;
  }
}

class InBf16 : public testing::TestWithParam<Op> {};

TEST_P(InBf16, DiffersFromFp32ByRoundingOnly) {
  if (GetParam().supports_matmul && !has_bf16()) GTEST_SKIP() << no_bf16;
  // Odd sizes, and rows of whole packs of 16 bytes.
  for (const Sizes& sizes : {Sizes{37, 70, 53}, Sizes{37, 328, 56}}) {
    for (const int threads : {1, 3}) {
      const Stream stream(device(), threads);
      const auto expected = GetParam().run(stream, DType::f32, sizes);
      expect_rounding_alone(GetParam().run(stream, DType::bf16, sizes), expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, InBf16,
                         testing::Values(Op{"linear", run_linear, true},
                                         Op{"linear_backward", run_linear_backward, true},
                                         Op{"linear_gelu", run_linear_gelu, true},
                                         Op{"linear_gelu_backward", run_linear_gelu_backward, true},
                                         Op{"layer_norm", run_layer_norm}, Op{"gelu", run_gelu},
                                         Op{"rotary", run_rotary}, Op{"embedding", run_embedding},
                                         Op{"residual", run_residual},
                                         Op{"cross_entropy_backward", run_cross_entropy_backward},
                                         Op{"copy", run_copy}),
                         [](const auto& op) { return std::string(op.param.name); });

class AttentionInBf16 : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionInBf16, DiffersFromFp32ByRoundingOnly) {
  const Stream stream(device(), 2);
  const auto expected = run_attention(stream, DType::f32, GetParam());
  expect_rounding_alone(run_attention(stream, DType::bf16, GetParam()), expected);
}

// Every kind of span, at a head dim that the built-in kernels support, and at those that cuDNN
// supports.
std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases;
  for (const Span& span : example_spans({130})) {
    const std::string kind(name_of(span.kind));
    cases.push_back({kind + "_40", span, 2, 150, 3, 1, 40});
    cases.push_back({kind + "_64", span, 2, 512, 2, 1, 64});
    cases.push_back({kind + "_128", span, 1, 1000, 1, 1, 128});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Spans, AttentionInBf16, testing::ValuesIn(attention_cases()),
                         [](const auto& attention) { return attention.param.name; });

TEST(Bfloat16, RoundsToTheNearestTiesToEven) {
  const auto bits = [](std::uint32_t x) { return bfloat16(std::bit_cast<float>(x)).bits; };
  EXPECT_EQ(bits(0x3f800000), 0x3f80);
  EXPECT_EQ(bits(0x3f808000), 0x3f80);  // a tie: to even
  EXPECT_EQ(bits(0x3f818000), 0x3f82);  // a tie: to even
  EXPECT_EQ(bits(0x3f808001), 0x3f81);
  EXPECT_EQ(bits(0x3f807fff), 0x3f80);
  EXPECT_EQ(bits(0xbf808001), 0xbf81);
  EXPECT_EQ(bits(0x7f7fffff), 0x7f80);  // beyond the largest: infinity
  EXPECT_EQ(bits(0xff800000), 0xff80);
  EXPECT_EQ(bits(0x7f800001), 0x7fc0);  // NaN stays NaN
  EXPECT_EQ(bits(0x00000001), 0x0000);
}

// Backends round as the scalar does, for every upper half and the lower halves that decide.
TEST(Bfloat16, BackendsRoundAlike) {
  const OwnedTensor from({5 << 16});
  const OwnedTensor to({5 << 16}, DType::bf16);
  constexpr std::uint32_t lower[] = {0, 0x7fff, 0x8000, 0x8001, 0xffff};
  const auto number = [&](std::int64_t i) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(i / 5) << 16 | lower[i % 5]);
  };
  for_each_element(from, [&](float& x, std::int64_t i) { x = number(i); });
  copy(Stream(device(), 2), from, to);
  std::int64_t different = 0;
  for_each_element<bfloat16>(to, [&](bfloat16 found, std::int64_t i) {
    const bfloat16 expected(number(i));
    const bool both_nan = std::isnan(float(found)) && std::isnan(float(expected));
    if (!both_nan && found.bits != expected.bits) ++different;  // any NaN will do
  });
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace masformer
