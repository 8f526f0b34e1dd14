// The model against an independent implementation: fixtures computed in double, and checked against
// Hugging Face's GPTNeoForCausalLM, by tests/golden/generate.py.
#include "tests/support/golden.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/single_rank.h"

namespace masformer::test {
namespace {

ModelConfig config_of(const GoldenCase& golden) {
  return {.layers = static_cast<int>(golden.layers),
          .hidden = golden.hidden,
          .heads = golden.heads,
          .ffn = golden.ffn,
          .vocab = golden.vocab,
          .positions = golden.positions,
          .spans = parse_spans(golden.spans),
          .attention_scale = static_cast<float>(golden.attention_scale),
          .tied = golden.tied,
          .epsilon = static_cast<float>(golden.epsilon)};
}

// |a - b| / |b| over the elements that the two views share, in double.
double relative_error(const float* a, const float* b, std::int64_t count) {
  double difference = 0;
  double norm = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    difference += std::pow(double(a[i]) - double(b[i]), 2);
    norm += std::pow(double(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

class Golden : public testing::TestWithParam<const char*> {
 protected:
  Golden()
      : golden_(read_golden(GetParam())),
        config_(config_of(golden_)),
        groups_(alone()),
        under_test_(config_, Mesh{}, Coordinate{}, even_partition(config_.layers, 1),
                    {.shape = {golden_.batch, golden_.sequence}}, gpipe(1, 1), stream_, groups_) {
    for (const Parameter& parameter : stage().parameters()) {
      for (const LogicalTensor& tensor : parameter.declaration.tensors) {
        const Tensor rows = parameter.rows(parameter.master, tensor);
        const NamedArray& weight = golden_.weights.at(tensor.name);
        std::copy(weight.values.begin(), weight.values.end(), rows.data<float>());
      }
    }
    const auto at = positions(golden_.batch, golden_.sequence);
    stage().set_micro_batch(0, golden_.tokens.data(), golden_.labels.data(), at.data());
  }

  Stage& stage() { return under_test_.stage; }
  double loss() const {
    return under_test_.stage.loss_sum() / double(golden_.batch * golden_.sequence);
  }
  Tensor logits() {
    const auto& buffers = stage().description().buffers;
    BufferId id = 0;
    while (buffers[id].name != "logits") ++id;
    return stage().buffer({.kind = ActionKind::forward, .micro_batch = 0}, id);
  }

  GoldenCase golden_;
  ModelConfig config_;
  Stream stream_{Device::cpu, 2};
  Communicators groups_;
  StageUnderTest under_test_;
};

TEST_P(Golden, EvaluationGivesItsLogitsAndLoss) {
  stage().begin_evaluation();
  execute(under_test_.evaluation, *groups_.pipe, stage());
  EXPECT_NEAR(loss() / golden_.loss, 1, 5e-7);
  const Tensor computed = logits();
  ASSERT_EQ(computed.dim(0), golden_.batch * golden_.sequence);
  double difference = 0;
  double norm = 0;
  for (std::int64_t row = 0; row < computed.dim(0); ++row) {
    for (std::int64_t word = 0; word < golden_.vocab; ++word) {
      const double expected = golden_.logits[static_cast<std::size_t>(row * golden_.vocab + word)];
      const double got = computed.data<float>()[row * computed.stride(0) + word];
      difference += std::pow(got - expected, 2);
      norm += expected * expected;
    }
  }
  EXPECT_LT(std::sqrt(difference / norm), 2e-6);
}

TEST_P(Golden, TrainingGivesItsLossAndEveryGradient) {
  stage().begin_training(golden_.batch * golden_.sequence);
  execute(under_test_.training, *groups_.pipe, stage());
  EXPECT_NEAR(loss() / golden_.loss, 1, 5e-7);
  std::size_t compared = 0;
  for (const Parameter& parameter : stage().parameters()) {
    for (const LogicalTensor& tensor : parameter.declaration.tensors) {
      const Tensor rows = parameter.rows(parameter.gradient, tensor);
      const NamedArray& expected = golden_.gradients.at(tensor.name);
      ASSERT_EQ(rows.elements(), std::ssize(expected.values)) << tensor.name;
      EXPECT_LT(relative_error(rows.data<float>(), expected.values.data(), rows.elements()), 5e-6)
          << tensor.name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, golden_.gradients.size());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden,
                         testing::Values("alternating.h5", "all_windows.h5", "odd_head_size.h5",
                                         "wide_heads.h5", "blocks_untied.h5"));

}  // namespace
}  // namespace masformer::test
