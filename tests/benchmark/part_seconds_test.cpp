#include "tests/benchmark/part_seconds.h"

#include <gtest/gtest.h>

#include "model/cost/flops.h"

namespace masformer::test {
namespace {

ModelConfig model_of(const char* spans) {
  return {.hidden = 64,
          .vocab = 512,
          .positions = 128,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 4}, GeluMlpSpec{256}, {}, {})};
}

TEST(PartSeconds, AddUpToTheModelsFlops) {
  const ModelConfig model = model_of("full,window:16*3,full");
  PassSeconds sum;
  const auto parts = part_seconds(model, {{0, 1}, {1, 2}, {2, 5}}, 128);
  ASSERT_EQ(parts.size(), 3U);
  for (const PassSeconds& part : parts) sum += part;
  const double flops = training_flops(model, 128, PairCount::visible);
  EXPECT_NEAR(sum.total() * 1e12 / flops, 1, 1e-12);
  EXPECT_GT(parts[0].total(), parts[1].total()) << "the full layer costs more than a window";
}

// Blocks: B = 2 A more than F - A, W = F - A for their attention A. The head does all in one pass.
TEST(PartSeconds, CountTheHeadInItsInputPassAndAttentionInNoWeightPass) {
  const ModelConfig model = model_of("full*2");
  const auto parts = part_seconds(model, {{0, 1}, {1, 2}}, 128);
  const PassSeconds& block = parts[0];
  EXPECT_GT(block.backward_input, block.forward);
  EXPECT_LT(block.backward_weight, block.forward);
  EXPECT_DOUBLE_EQ(block.backward(), 2 * block.forward);
  EXPECT_EQ(parts[1].forward, block.forward);
  EXPECT_EQ(parts[1].backward_weight, block.backward_weight);
  EXPECT_DOUBLE_EQ((parts[1].backward_input - block.backward_input) * 1e12,
                   3.0 * 2 * 128 * 512 * 64);
}

}  // namespace
}  // namespace masformer::test
