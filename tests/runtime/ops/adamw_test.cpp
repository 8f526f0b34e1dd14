#include "runtime/ops/adamw.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

constexpr double gradient_scale = 0.25;
constexpr float weight_decay = 0.1f;

struct State {
  Numbers master, m, v;
};

void reference(const AdamWStep& s, const Numbers& gradient, State& state) {
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double g = gradient_scale * gradient[i];
    state.m[i] = s.beta1 * state.m[i] + (1 - double(s.beta1)) * g;
    state.v[i] = s.beta2 * state.v[i] + (1 - double(s.beta2)) * g * g;
    const double m_hat = state.m[i] / (1 - std::pow(double(s.beta1), s.step));
    const double v_hat = state.v[i] / (1 - std::pow(double(s.beta2), s.step));
    state.master[i] -=
        s.learning_rate * (m_hat / (std::sqrt(v_hat) + s.epsilon) + weight_decay * state.master[i]);
  }
}

class AdamW : public testing::TestWithParam<std::tuple<std::int64_t, int>> {};

TEST_P(AdamW, FollowsTheEquationOverFiveSteps) {
  const std::int64_t size = std::get<0>(GetParam());
  const Stream stream(device(), std::get<1>(GetParam()));
  const Shape shape = {size};
  const OwnedTensor master = normals(shape, 1), m(shape), v(shape);
  const OwnedTensor rows({3, size + 1});  // the same again, misaligned
  const auto again = [&](int row) {
    const Tensor from_second = rows->slice(0, row, 1).slice(1, 1, size);
    return Tensor(from_second.raw(), shape, DType::f32, device());
  };
  copy(stream, master, again(0));
  const Numbers start = values(master);
  State state{start, values(m), values(v)};
  const OwnedTensor scale = filled({1}, {gradient_scale});
  AdamWStep step{.learning_rate = 1e-2f, .beta2 = 0.999f};
  for (step.step = 1; step.step <= 5; ++step.step) {
    const OwnedTensor gradient = normals(shape, 10 + static_cast<std::uint64_t>(step.step), 1e-3);
    const Numbers gradient_before = values(gradient);
    // Several parameters at once, as the optimizer calls it.
    adamw(stream, step, scale,
          {{gradient, master, m, v, weight_decay},
           {gradient, again(0), again(1), again(2), weight_decay}});
    reference(step, gradient_before, state);
    EXPECT_EQ(values(gradient), gradient_before);
    step.learning_rate *= 0.9f;
  }
  // Compare the change, not the weights: it is a hundredth of them.
  Numbers change = values(master), expected = state.master;
  for (std::size_t i = 0; i < change.size(); ++i) {
    change[i] -= start[i];
    expected[i] -= start[i];
  }
  EXPECT_LT(difference(change, expected), 5e-6);
  EXPECT_LT(difference(m, state.m), 5e-7);
  EXPECT_LT(difference(v, state.v), 5e-7);
  EXPECT_TRUE(same_bits(master, again(0)));
}

INSTANTIATE_TEST_SUITE_P(Sizes, AdamW,
                         testing::Combine(testing::Values<std::int64_t>(0, 1, 3, 17, 257, 10000),
                                          testing::Values(1, 2, 3)));

// Parameters of any size and alignment, as the rows that a rank owns are.
TEST(AdamW, ManyAtOnceGiveTheBitsOfOneByOne) {
  const Stream stream(device(), 2);
  const Shape shape = {41200};
  const OwnedTensor gradient = normals(shape, 1), scale = filled({1}, {gradient_scale});
  const AdamWStep step{.learning_rate = 1e-2f, .step = 3};
  const auto updated = [&](bool at_once) {
    std::vector<OwnedTensor> state;
    for (const std::uint64_t seed : {2, 3, 4}) state.push_back(normals(shape, seed));
    set(state[2], [&](std::int64_t i) { return 1e-3 * double(i % 7); });
    std::vector<AdamWTensors> pieces;
    for (std::int64_t i = 0, begin = 0; i < 70; begin += i * 17 + i % 5, ++i) {
      const auto piece = [&](const Tensor& whole) { return whole.slice(0, begin, i * 17); };
      pieces.push_back({piece(gradient), piece(state[0]), piece(state[1]), piece(state[2]),
                        static_cast<float>(i % 3) * weight_decay});
    }
    if (at_once) adamw(stream, step, scale, pieces);
    for (const AdamWTensors& piece : pieces) {
      if (!at_once) adamw(stream, step, scale, {piece});
    }
    return state;
  };
  const auto together = updated(true), alone = updated(false);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(together[i], alone[i])) << i;
  EXPECT_GT(difference(together[0], values(normals(shape, 2))), 1e-3);
}

TEST(AdamW, ScaleThatIsNotFiniteChangesNothing) {
  const Shape shape = {1000};
  const OwnedTensor gradient = normals(shape, 1), master = normals(shape, 2), m = normals(shape, 3);
  const OwnedTensor v = normals(shape, 4), scale = poisoned({1});
  adamw(Stream(device()), {.learning_rate = 1}, scale, {{gradient, master, m, v, 0.1f}});
  EXPECT_TRUE(same_bits(master, normals(shape, 2)));
  EXPECT_TRUE(same_bits(m, normals(shape, 3)));
  EXPECT_TRUE(same_bits(v, normals(shape, 4)));
}

TEST(AdamW, RefusesStepsBelowOne) {
  const OwnedTensor x({3}), scale({1});
  EXPECT_THROW(adamw(Stream(device()), {.step = 0}, scale, {{x, x, x, x}}), Error);
}

}  // namespace
}  // namespace masformer
