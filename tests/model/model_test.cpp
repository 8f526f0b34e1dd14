// Properties of the model that are known in closed form.
#include <cmath>

#include <gtest/gtest.h>

#include "model/config.h"
#include "model/cost/flops.h"
#include "model/memory/stage_memory.h"

namespace masformer {
namespace {

ModelConfig gpt_neo_1_3b(std::int64_t positions, const char* spans) {
  return {.hidden = 2048,
          .vocab = 50257,
          .positions = positions,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 16}, GeluMlpSpec{8192})};
}

// The expected numbers are computed by hand for 16 heads of 128, ffn 8192, 8192 tokens.
TEST(StageSpec, TakesTheWorkspaceOfItsMostDemandingOp) {
  ModelConfig config = gpt_neo_1_3b(8192, "full*4,window:1024*20");
  constexpr std::int64_t mib = 1 << 20;
  const auto bytes = [&](DType dtype, bool deterministic, int ranks = 1) {
    const StagePolicy policy{
        .shape = {1, 8192}, .dtype = dtype, .device = Device::cuda, .deterministic = deterministic};
    return StageSpec(config, {.tensor = ranks}, {}, {{0, config.layers()}}, policy).workspace;
  };
  EXPECT_EQ(bytes(DType::f32, true), 32 * mib) << "matrix products";
  EXPECT_EQ(bytes(DType::bf16, false), 65 * mib) << "dq in fp32, and 8 bytes per row";
  EXPECT_EQ(bytes(DType::bf16, false, 4), 32 * mib) << "attention takes 16 and a quarter";
  EXPECT_EQ(bytes(DType::bf16, true), 2049 * mib) << "2 bytes per pair and head";
  config = gpt_neo_1_3b(8192, "block:64*24");
  EXPECT_EQ(bytes(DType::bf16, true), 32 * mib) << "the built-in kernels need none";
}

TEST(Cost, CountsTheParametersOfGptNeo) {
  EXPECT_EQ(parameter_count(gpt_neo_1_3b(2048, "full*24")), 1'315'575'808);
  EXPECT_EQ(parameter_count(gpt_neo_1_3b(8192, "full*24")), 1'328'158'720);
}

TEST(ModelConfig, RefusesWhatDoesNotDivideAndNamesTheRemedy) {
  const ModelConfig config = gpt_neo_1_3b(2048, "full*24");
  const auto found = violations(config, {.context = 2, .tensor = 3});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0],
            "parallel.tensor=3 does not divide model.heads=16: pick one of 1, 2, 4, 8, 16");
  EXPECT_EQ(found[1],
            "parallel.tensor=3 does not divide model.ffn=8192: pick one of 1, 2, 4, 8, 16, 32, 64");
}

TEST(ModelConfig, PadsTheVocabularyToEqualPartsOfTensorRanks) {
  for (const std::int64_t vocab : {1, 257, 50257}) {
    for (const int ranks : {1, 2, 4, 8}) {
      const std::int64_t padded = padded_vocab(vocab, ranks);
      EXPECT_GE(padded, vocab);
      EXPECT_EQ(padded % (16 * ranks), 0);
      EXPECT_LT(padded - vocab, 16 * ranks);
    }
  }
}

TEST(Cost, CountsVisiblePairsInFlops) {
  const double all = forward_flops(gpt_neo_1_3b(8192, "full*24"), 8192, PairCount::visible);
  const double mixed =
      forward_flops(gpt_neo_1_3b(8192, "full*8,window:1024*16"), 8192, PairCount::visible);
  const double full_pairs = 24.0 * 8192 * 8193 / 2;
  EXPECT_NEAR((all - mixed) / (4.0 * 2048 * full_pairs), 0.510, 5e-4);  // the saved share
  const double dense = forward_flops(gpt_neo_1_3b(8192, "full*24"), 8192, PairCount::dense);
  // 24 blocks of 12 h^2 weights, and the head: a multiply-add per weight and token.
  const double weights = 24.0 * 12 * 2048 * 2048 + 2048.0 * 50257;
  EXPECT_EQ(all, 2 * 8192 * weights + 4.0 * 2048 * full_pairs);
  EXPECT_NEAR((dense - all) / (4.0 * 2048 * (24.0 * 8192 * 8192 - full_pairs)), 1, 1e-9);
}

// Except for block spans, whose blocks count from the start of the sequence.
TEST(Cost, CountsAMaskedDocumentAsASequenceOfItsOwn) {
  const ModelConfig config = gpt_neo_1_3b(64, "full*8,window:5*16");
  const auto alone = [&](std::int64_t length) {
    return forward_flops(config, length, PairCount::visible);
  };
  const double packed = SequenceFlops(config, 48).forward({0, 7, 20});
  EXPECT_NEAR(packed / (alone(7) + alone(13) + alone(28)), 1, 1e-12);
}

}  // namespace
}  // namespace masformer
