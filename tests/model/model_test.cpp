// What is known of the model in closed form.
#include <cmath>

#include <gtest/gtest.h>

#include "model/config.h"
#include "model/cost.h"
#include "model/memory/workspace.h"

namespace masformer {
namespace {

ModelConfig gpt_neo_1_3b(std::int64_t positions, const char* spans) {
  return {.layers = 24,
          .hidden = 2048,
          .heads = 16,
          .ffn = 8192,
          .vocab = 50257,
          .positions = positions,
          .spans = parse_spans(spans)};
}

// By hand: 16 heads of 128, ffn 8192, 8192 tokens.
TEST(WorkspaceTest, IsTheMostThatAnOpTakes) {
  ModelConfig config = gpt_neo_1_3b(8192, "full*4,window:1024*20");
  const MicroBatchShape shape{1, 8192};
  constexpr std::int64_t mib = 1 << 20;
  const auto bytes = [&](DType dtype, bool deterministic, int ranks = 1) {
    return workspace_bytes(config, {.ranks = ranks}, shape, dtype, deterministic);
  };
  EXPECT_EQ(bytes(DType::f32, true), 32 * mib) << "products";
  EXPECT_EQ(bytes(DType::bf16, false), 65 * mib) << "dq in fp32, and 8 bytes a row";
  EXPECT_EQ(bytes(DType::bf16, false, 4), 32 * mib) << "16 and a quarter for attention";
  EXPECT_EQ(bytes(DType::bf16, true), 2049 * mib) << "2 bytes a pair and head";
  config.spans = parse_spans("block:64*24");
  EXPECT_EQ(bytes(DType::bf16, true), 32 * mib) << "own kernels";
}

TEST(ModelConfig, CountsTheParametersOfGptNeo) {
  EXPECT_EQ(parameter_count(gpt_neo_1_3b(2048, "full*24")), 1'315'575'808);
  EXPECT_EQ(parameter_count(gpt_neo_1_3b(8192, "full*24")), 1'328'158'720);
}

TEST(ModelConfig, RefusesWhatDoesNotDivideAndNamesTheRemedy) {
  ModelConfig config = gpt_neo_1_3b(2048, "full*23");
  const auto found = violations(config, {.context = 2, .tensor = 3});
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0],
            "model.spans=full*23 names 23 layers, model.layers=24: write one span a layer, as in "
            "full*24");
  EXPECT_EQ(found[1],
            "parallel.tensor=3 does not divide model.heads=16: pick one of 1, 2, 4, 8, 16");
  EXPECT_EQ(found[2],
            "parallel.tensor=3 does not divide model.ffn=8192: pick one of 1, 2, 4, 8, 16, 32, 64");
  EXPECT_EQ(found[3], "parallel.context=2 is not available yet: leave it at 1");
}

TEST(ModelConfig, PadsTheVocabularyForEveryTensorAxis) {
  for (const std::int64_t vocab : {1, 257, 50257}) {
    for (const int ranks : {1, 2, 4, 8}) {
      const std::int64_t padded = padded_vocab(vocab, ranks);
      EXPECT_GE(padded, vocab);
      EXPECT_EQ(padded % (16 * ranks), 0);
      EXPECT_LT(padded - vocab, 16 * ranks);
    }
  }
}

TEST(Flops, CountVisiblePairs) {
  const double all = forward_flops(gpt_neo_1_3b(8192, "full*24"), 8192, PairCount::visible);
  const double mixed =
      forward_flops(gpt_neo_1_3b(8192, "full*8,window:1024*16"), 8192, PairCount::visible);
  const double full_pairs = 24.0 * 8192 * 8193 / 2;
  EXPECT_NEAR((all - mixed) / (4.0 * 2048 * full_pairs), 0.510, 5e-4);  // the saved share
  const double dense = forward_flops(gpt_neo_1_3b(8192, "full*24"), 8192, PairCount::dense);
  EXPECT_NEAR((dense - all) / (4.0 * 2048 * (24.0 * 8192 * 8192 - full_pairs)), 1, 1e-9);
}

}  // namespace
}  // namespace masformer
