#include "runtime/ops/linear_gelu.h"

#include <ostream>

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/linear.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Case {
  std::int64_t tokens, inputs, outputs;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tokens << "x" << c.inputs << "x" << c.outputs;
}

class LinearGelu : public testing::TestWithParam<std::tuple<Case, int, bool>> {
 protected:
  const Case c = std::get<0>(GetParam());
  const Stream stream{device(), std::get<1>(GetParam())};
  const OwnedTensor weight = normals({c.outputs, c.inputs}, 2);
  const OwnedTensor given_bias = normals({c.outputs}, 3);
  const Tensor bias = std::get<2>(GetParam()) ? Tensor(given_bias) : Tensor();
};

// In fp32 no device fuses the two ops; bf16_test covers the devices that fuse them in bf16.
TEST_P(LinearGelu, EqualsTheTwoOpsBitByBit) {
  const OwnedTensor wide_x = normals({c.tokens, c.inputs + 5}, 1);
  const Tensor x = wide_x->slice(1, 2, c.inputs);
  const Shape inner{c.tokens, c.outputs};
  const OwnedTensor before = poisoned(inner), after = poisoned(inner);
  const OwnedTensor linear_alone = poisoned(inner), gelu_alone = poisoned(inner);
  linear_gelu(stream, x, weight, bias, before, after);
  linear(stream, x, weight, bias, linear_alone);
  gelu(stream, linear_alone, gelu_alone);
  EXPECT_TRUE(same_bits(before, linear_alone));
  EXPECT_TRUE(same_bits(after, gelu_alone));
}

TEST_P(LinearGelu, BackwardEqualsTheTwoOpsBitByBit) {
  const OwnedTensor wide_dy = normals({c.tokens, c.outputs + 5}, 1);
  const Tensor dy = wide_dy->slice(1, 2, c.outputs);
  const Shape inner{c.tokens, c.inputs};
  const OwnedTensor before = normals(inner, 4), dbefore = poisoned(inner), dx = poisoned(inner);
  linear_backward_input_gelu(stream, dy, weight, before, dbefore);
  linear_backward_input(stream, dy, weight, dx);
  gelu_backward(stream, before, dx, dx);
  EXPECT_TRUE(same_bits(dbefore, dx));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinearGelu,
                         testing::Combine(testing::Values(Case{1, 1, 1}, Case{17, 3, 33},
                                                          Case{24, 40, 64}, Case{0, 5, 3},
                                                          Case{5, 0, 3}, Case{5, 3, 0}),
                                          testing::Values(1, 3), testing::Bool()));

TEST(LinearGelu, RefusesWrongOperandsAndNamesThem) {
  const Stream stream(device());
  const OwnedTensor x({2, 3}), weight({4, 3}), inner({2, 4}), wide({2, 6});
  try {
    linear_gelu(stream, x, weight, {}, wide->slice(1, 0, 4), inner);
    FAIL() << "gaps were taken";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "linear_gelu: before [2, 4] has gaps between its rows");
  }
  try {
    linear_backward_input_gelu(stream, inner, weight, inner, x);
    FAIL() << "a wrong shape was taken";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "linear_backward_input_gelu: before is fp32 [2, 4], not fp32 [2, 3]");
  }
}

}  // namespace
}  // namespace masformer
