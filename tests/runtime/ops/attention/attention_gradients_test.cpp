// Gradients of attention in fp32 beside operands in bf16.
#include <array>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/attention/attention.h"
#include "tests/runtime/ops/attention/attention_case.h"
#include "tests/support/spans.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;
using std::int64_t;

Case bf16_case(const Span& span, const std::array<DType, 3>& gradients) {
  return {to_string(span), 2,     150, 190,         4,        2, 20, 40, 0,
          Layout::gaps,    0.25f, {},  DType::bf16, gradients};
}

// Whether the tensor holds a number that bf16 would round.
bool is_unrounded(const Tensor& x) {
  for (const double value : values(x)) {
    if (double(float(bfloat16(static_cast<float>(value)))) != value) return true;
  }
  return false;
}

// Each of dq, dk and dv in either dtype: those in fp32 are as close as if all operands were fp32,
// and those in bf16 are their rounding.
TEST(AttentionGradients, EachMayBeFp32BesideOperandsInBf16) {
  for (const Span& span : example_spans({45})) {
    Case c = bf16_case(span, {DType::f32, DType::f32, DType::f32});
    Call exact(c);
    exact.forward(c);
    exact.backward(c);
    const Reference want = exact.expected(c);
    const std::array<Tensor, 3> unrounded{exact.gradient.q, exact.gradient.k, exact.gradient.v};
    for (const Tensor& x : unrounded) EXPECT_TRUE(is_unrounded(x)) << c;
    for (int which = 0; which < 8; ++which) {
      for (int i = 0; i < 3; ++i) {
        c.gradients[static_cast<std::size_t>(i)] = (which >> i & 1) != 0 ? DType::f32 : DType::bf16;
      }
      Call call(c);
      call.forward(c);
      call.backward(c);
      expect_gradients(c, call, want);
      const std::array<Tensor, 3> found{call.gradient.q, call.gradient.k, call.gradient.v};
      for (std::size_t i = 0; i < 3; ++i) {
        Numbers expected = values(unrounded[i]);
        if (c.gradients[i] == DType::bf16) {
          for (double& x : expected) x = double(float(bfloat16(static_cast<float>(x))));
        }
        EXPECT_EQ(values(found[i]), expected) << c << ", gradient " << i;
      }
    }
  }
}

// What a sum of the gradients of parts needs: only the numbers of the view are written.
TEST(AttentionGradients, InFp32LeaveTheGapsBetweenTheirRows) {
  const Case c = bf16_case({}, {DType::f32, DType::f32, DType::f32});
  Call call(c);
  call.forward(c);
  call.backward(c);
  int64_t written = 0;
  for (const OwnedTensor& x : call.gradient.memory) written += x->elements() - poison_left(x);
  EXPECT_EQ(written, call.gradient.q.elements() + 2 * call.gradient.k.elements());
}

TEST(AttentionGradients, RefusesBf16BesideFp32AndNoSumForRoundedQueries) {
  const auto message = [](const Case& c, bool with_sum) -> std::string {
    Call call(c);
    if (!with_sum) call.dq_sum.reset();
    call.forward(c);
    try {
      call.backward(c);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  Case c = bf16_case({}, {DType::f32, DType::bf16, DType::bf16});
  EXPECT_EQ(message(c, false), "");
  c.gradients[0] = DType::bf16;
  EXPECT_NE(message(c, false), "");
  c.dtype = DType::f32;
  EXPECT_NE(message(c, true).find("dq is bf16"), std::string::npos);
}

}  // namespace
}  // namespace masformer
