// Compares the model with an independent implementation: tests/golden/generate.py computes the
// fixtures in double and checks them against Hugging Face's GPTNeoForCausalLM.
#include "tests/support/golden.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/support/golden_model.h"
#include "tests/support/single_rank.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

class Golden : public testing::TestWithParam<const char*> {
 protected:
  Golden()
      : golden_(read_golden(GetParam())),
        config_(config_of(golden_)),
        groups_(alone()),
        under_test_(config_, Mesh{}, Coordinate{}, even_partition(config_.layers(), 1),
                    {.shape = {golden_.batch, golden_.sequence}}, gpipe(1, 1), stream_, groups_) {
    for (const Parameter& parameter : stage().parameters()) {
      for (const LogicalTensor& tensor : parameter.spec.tensors) {
        const Tensor rows = parameter.rows(parameter.master, tensor);
        const NamedArray& weight = golden_.weights.at(tensor.name);
        set(rows, [&](std::int64_t i) { return weight.values[static_cast<std::size_t>(i)]; });
      }
    }
    const auto at = positions(golden_.batch, golden_.sequence);
    stage().set_micro_batch(0, {golden_.tokens.data(), golden_.labels.data(), at.data()});
  }

  Stage& stage() { return under_test_.stage; }
  double loss() const {
    return under_test_.stage.loss_sum() / double(golden_.batch * golden_.sequence);
  }
  Tensor logits() {
    const auto& buffers = stage().spec().buffers;
    BufferId id = 0;
    while (buffers[id].name != "logits") ++id;
    return stage().buffer({.kind = ActionKind::forward, .micro_batch = 0}, id);
  }

  GoldenCase golden_;
  ModelConfig config_;
  Stream stream_{device(), 2};
  ProcessGroups groups_;
  StageUnderTest under_test_;
};

TEST_P(Golden, EvaluationComputesItsLogitsAndLoss) {
  stage().begin_evaluation();
  execute(stream_, under_test_.evaluation, *groups_.pipe, stage());
  EXPECT_NEAR(loss() / golden_.loss, 1, 5e-7);
  ASSERT_EQ(logits().dim(0), golden_.batch * golden_.sequence);
  const Tensor computed = logits().slice(1, 0, golden_.vocab);  // without padding
  const Numbers expected(golden_.logits.begin(), golden_.logits.end());
  EXPECT_LT(difference(computed, expected), 2e-6);
}

TEST_P(Golden, TrainingComputesItsLossAndEveryGradient) {
  stage().begin_training(golden_.batch * golden_.sequence);
  execute(stream_, under_test_.training, *groups_.pipe, stage());
  EXPECT_NEAR(loss() / golden_.loss, 1, 5e-7);
  std::size_t compared = 0;
  for (const Parameter& parameter : stage().parameters()) {
    for (const LogicalTensor& tensor : parameter.spec.tensors) {
      const Tensor rows = parameter.rows(parameter.gradient, tensor);
      const NamedArray& expected = golden_.gradients.at(tensor.name);
      ASSERT_EQ(rows.elements(), std::ssize(expected.values)) << tensor.name;
      const Numbers numbers(expected.values.begin(), expected.values.end());
      EXPECT_LT(difference(rows, numbers), 5e-6) << tensor.name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, golden_.gradients.size());
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, testing::ValuesIn(golden_files));

}  // namespace
}  // namespace masformer::test
