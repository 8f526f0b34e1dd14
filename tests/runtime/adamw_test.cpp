#include "runtime/ops/adamw.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct State {
  Numbers master, m, v;
};

void reference(const AdamWStep& s, const Numbers& gradient, State& state) {
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double g = double(s.gradient_scale) * gradient[i];
    state.m[i] = s.beta1 * state.m[i] + (1 - double(s.beta1)) * g;
    state.v[i] = s.beta2 * state.v[i] + (1 - double(s.beta2)) * g * g;
    const double m_hat = state.m[i] / (1 - std::pow(double(s.beta1), s.step));
    const double v_hat = state.v[i] / (1 - std::pow(double(s.beta2), s.step));
    state.master[i] -= s.learning_rate *
                       (m_hat / (std::sqrt(v_hat) + s.epsilon) + s.weight_decay * state.master[i]);
  }
}

class AdamW : public testing::TestWithParam<std::tuple<std::int64_t, int>> {};

TEST_P(AdamW, FollowsTheEquationOverFiveSteps) {
  const auto [size, threads] = GetParam();
  const Stream stream(Device::cpu, threads);
  const Shape shape = {size};
  const OwnedTensor master = normals(shape, 1), m(shape), v(shape), again = normals(shape, 1);
  const OwnedTensor m_again(shape), v_again(shape);
  const Numbers start = values(master);
  State state{start, values(m), values(v)};
  AdamWStep step{
      .learning_rate = 1e-2f, .beta2 = 0.999f, .weight_decay = 0.1f, .gradient_scale = 0.25f};
  for (step.step = 1; step.step <= 5; ++step.step) {
    const OwnedTensor gradient = normals(shape, 10 + static_cast<std::uint64_t>(step.step), 1e-3);
    const Numbers gradient_before = values(gradient);
    adamw(stream, step, gradient, master, m, v);
    adamw(stream, step, gradient, again, m_again, v_again);
    reference(step, gradient_before, state);
    EXPECT_EQ(values(gradient), gradient_before);
    step.learning_rate *= 0.9f;
  }
  // What was learned, not where it began: the change is a hundredth of the weights.
  Numbers change = values(master), expected = state.master;
  for (std::size_t i = 0; i < change.size(); ++i) {
    change[i] -= start[i];
    expected[i] -= start[i];
  }
  EXPECT_LT(difference(change, expected), 5e-6);
  EXPECT_LT(difference(m, state.m), 5e-7);
  EXPECT_LT(difference(v, state.v), 5e-7);
  EXPECT_TRUE(same_bits(master, again));
}

INSTANTIATE_TEST_SUITE_P(Sizes, AdamW,
                         testing::Combine(testing::Values<std::int64_t>(0, 1, 3, 17, 257, 10000),
                                          testing::Values(1, 2, 3)));

TEST(AdamWChecks, StepsCountFromOne) {
  const OwnedTensor x({3});
  EXPECT_THROW(adamw(Stream(Device::cpu), {.step = 0}, x, x, x, x), Error);
}

}  // namespace
}  // namespace masformer
