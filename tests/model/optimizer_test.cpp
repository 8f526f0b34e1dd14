// The schedule of the learning rate, the gradient norm under every layout, and the update.
#include "model/optimizer.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "model/cost/flops.h"
#include "parallel/comm/self_communicator.h"
#include "runtime/op_timer.h"
#include "tests/support/single_rank.h"
#include "tests/support/stages.h"
#include "tests/support/tensors.h"

namespace masformer {
namespace {

using namespace test;

struct Course {
  std::int64_t warmup, steps;
};

class LearningRate : public testing::TestWithParam<Course> {
 protected:
  OptimizerConfig config_{
      .lr = 6e-4, .min_lr = 7e-5, .warmup_steps = GetParam().warmup, .steps = GetParam().steps};
  double at(std::int64_t step) const { return learning_rate(config_, step); }
};

TEST_P(LearningRate, EqualsTheClosedFormAtEveryStep) {
  const auto [warmup, steps] = GetParam();
  for (std::int64_t step = 1; step <= steps; ++step) {
    double expected = config_.lr * double(step) / double(std::max<std::int64_t>(warmup, 1));
    if (step > warmup) {
      // Half a cosine, by the squared cosine of the half angle.
      const double half = std::numbers::pi / 2 * double(step - warmup) / double(steps - warmup);
      expected = config_.min_lr + (config_.lr - config_.min_lr) * std::pow(std::cos(half), 2);
    }
    EXPECT_NEAR(at(step) / expected, 1, 1e-12) << step;
    if (step > 1) {
      EXPECT_EQ(at(step) > at(step - 1), step <= warmup) << step;
    }
  }
}

TEST_P(LearningRate, StartsPeaksAndEndsAsConfigured) {
  const auto [warmup, steps] = GetParam();
  if (warmup > 0) {
    EXPECT_DOUBLE_EQ(at(1), config_.lr / double(warmup));
    EXPECT_DOUBLE_EQ(at(warmup), config_.lr);
  }
  if (warmup < steps) {
    EXPECT_EQ(at(steps), config_.min_lr);
    if ((steps - warmup) % 2 == 0) {
      EXPECT_DOUBLE_EQ(at((warmup + steps) / 2), (config_.lr + config_.min_lr) / 2);
    }
  } else {  // still warming up at the end
    EXPECT_DOUBLE_EQ(at(steps), config_.lr * double(steps) / double(warmup));
  }
  EXPECT_EQ(at(std::max(steps, warmup) + 1), config_.min_lr);  // and beyond
  EXPECT_EQ(at(1'000'000'000), config_.min_lr);
}

INSTANTIATE_TEST_SUITE_P(Courses, LearningRate,
                         testing::Values(Course{0, 1}, Course{0, 100}, Course{1, 100},
                                         Course{20, 1000}, Course{99, 100}, Course{100, 100},
                                         Course{300, 100}, Course{1, 1}, Course{3, 1}));

// With gradients of 1, the squared norm is the number of parameters.
TEST(GradientNorm, CountsEachParameterOnceUnderEveryLayout) {
  const Stream stream(Device::cpu);
  SelfCommunicator one;
  for (const bool tied : {true, false}) {
    const ModelConfig config{
        .hidden = 32,
        .vocab = 101,
        .positions = 24,
        .blocks = blocks_of_spans(parse_spans("full*5"), {.heads = 4}, GeluMlpSpec{80}),
        .tied = tied};
    for (const Mesh& mesh : all_kinds_of_meshes()) {
      double count = 0;
      for (const RankedStage& stage : stages_of(config, mesh)) {
        ParameterSet parameters(Device::cpu, stage.spec.parameters, DType::f32, Purpose::training);
        for (const Parameter& parameter : parameters) {
          for (const LogicalTensor& tensor : parameter.spec.tensors) {
            set(parameter.rows(parameter.gradient, tensor), [](std::int64_t) { return 1; });
          }
        }
        sum_squared_norm(stream, parameters, one);
        count += scalar(stream, parameters.squared_norm());
      }
      EXPECT_NEAR(count, double(parameter_count(config)), 1e-6) << mesh.to_string() << tied;
    }
  }
}

// Each layer asks for its weights in every micro-batch, but only the first may have to wait.
TEST(ParameterSync, TimesNoWaitForWeightsThatHaveArrived) {
  Stream stream(Device::cpu);
  ParameterRegistry registry({}, {});
  registry.split_rows({"q"}, {6, 9}, Initial::normal);
  ParameterSet parameters(Device::cpu, registry.specs(), DType::f32, Purpose::training);
  const ProcessGroups groups = alone();
  ParameterSync sync(stream, parameters, {}, groups);
  OpTimer timer(stream);
  sync.start_all_gathers();
  for (int micro_batch = 0; micro_batch < 3; ++micro_batch) sync.wait_for({0, 1});
  timer.finish();
  EXPECT_TRUE(timer.calls().empty());
}

struct Clipping {
  double clip;
  double norm;
  double scale;  // the factor of the gradient that AdamW uses
};

class Update : public testing::TestWithParam<Clipping> {
 protected:
  // A matrix, its bias, the weight of a norm, and a row-parallel matrix.
  Update() : parameters_(Device::cpu, specs(), DType::f32, Purpose::training) {
    for (std::size_t id = 0; id < 4; ++id) set_normals(parameters_[id].master, id, 0.5, 0.25);
  }
  static std::vector<ParameterSpec> specs() {
    ParameterRegistry registry({}, {});
    registry.split_rows({"q", "k"}, {6, 9}, Initial::normal);
    registry.split_rows({"bias"}, {17}, Initial::zeros);
    registry.replicated("ln.weight", {33}, Initial::ones);
    registry.split_columns("out", {5, 7});
    return registry.specs();
  }
  Stream stream_{Device::cpu};
  ParameterSet parameters_;
  ProcessGroups groups_ = alone();
  ParameterSync sync_{stream_, parameters_, {}, groups_};
  OptimizerConfig config_{.lr = 1e-2,
                          .min_lr = 1e-3,
                          .warmup_steps = 2,
                          .steps = 6,
                          .beta1 = 0.85,
                          .beta2 = 0.97,
                          .epsilon = 1e-6,
                          .weight_decay = 0.25};
};

struct Moments {
  Numbers master, m, v;
};

// AdamW in double, as in the paper.
void reference(const OptimizerConfig& c, double rate, double decay, double scale, std::int64_t step,
               const Numbers& gradient, Moments& state) {
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double g = scale * gradient[i];
    state.m[i] = c.beta1 * state.m[i] + (1 - c.beta1) * g;
    state.v[i] = c.beta2 * state.v[i] + (1 - c.beta2) * g * g;
    const double m_hat = state.m[i] / (1 - std::pow(c.beta1, double(step)));
    const double v_hat = state.v[i] / (1 - std::pow(c.beta2, double(step)));
    state.master[i] -= rate * (m_hat / (std::sqrt(v_hat) + c.epsilon) + decay * state.master[i]);
  }
}

TEST_P(Update, FollowsTheEquationOverARun) {
  config_.clip = GetParam().clip;
  std::vector<Moments> expected;
  std::vector<Numbers> begin;
  for (const Parameter& p : parameters_) {
    expected.push_back({values(p.master), values(p.m), values(p.v)});
    begin.push_back(values(p.master));
  }
  // The learning rates of 2 warm-up steps, before half a cosine over 4.
  const double rates[] = {0.5e-2, 1e-2};
  for (std::int64_t step = 1; step <= 6; ++step) {
    const double angle = std::numbers::pi * double(step - 2) / 4;
    const double rate = step <= 2 ? rates[step - 1] : 1e-3 + 9e-3 * (1 + std::cos(angle)) / 2;
    for (std::size_t id = 0; id < 4; ++id) {
      const auto seed = static_cast<std::uint64_t>(100 * step) + id;
      set_normals(parameters_[id].gradient, seed, 0.1);
      const Numbers gradient = values(parameters_[id].gradient);
      const bool matrix = id == 0 || id == 3;
      reference(config_, rate, matrix ? 0.25 : 0, GetParam().scale, step, gradient, expected[id]);
    }
    *parameters_.squared_norm().data<double>() = GetParam().norm * GetParam().norm;
    update(stream_, config_, step, parameters_, sync_);
  }
  for (std::size_t id = 0; id < 4; ++id) {
    Numbers change = values(parameters_[id].master), wanted = expected[id].master;
    for (std::size_t i = 0; i < change.size(); ++i) {
      change[i] -= begin[id][i];
      wanted[i] -= begin[id][i];
    }
    EXPECT_LT(difference(change, wanted), 1e-5) << id;
    EXPECT_LT(difference(parameters_[id].m, expected[id].m), 1e-6) << id;
    EXPECT_LT(difference(parameters_[id].v, expected[id].v), 1e-6) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Clips, Update,
                         testing::Values(Clipping{1, 4, 0.25}, Clipping{0.5, 0.5, 1},
                                         Clipping{1, 0.75, 1}, Clipping{0, 40, 1},
                                         Clipping{2, 2.5, 0.8}));

TEST_F(Update, DecaysOnlyMatrices) {
  std::vector<Numbers> begin;
  for (const Parameter& parameter : parameters_) begin.push_back(values(parameter.master));
  update(stream_, config_, 2, parameters_,
         sync_);  // without gradients, only the decay changes weights
  for (std::size_t id = 0; id < 4; ++id) {
    const bool matrix = id == 0 || id == 3;
    Numbers expected = begin[id];
    for (double& x : expected) x *= matrix ? 1 - 1e-2 * 0.25 : 1;
    EXPECT_LE(difference(parameters_[id].master, expected), matrix ? 1e-7 : 0.0) << id;
  }
}

}  // namespace
}  // namespace masformer
