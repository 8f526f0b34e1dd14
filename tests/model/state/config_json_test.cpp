// The description of a model in a checkpoint, for every kind of mixer, MLP and norm.
#include "model/state/config_json.h"

#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

// One of each alternative of a variant.
template <class Spec>
std::vector<Spec> each_kind() {
  return []<std::size_t... kinds>(std::index_sequence<kinds...>) {
    return std::vector<Spec>{Spec(std::in_place_index<kinds>)...};
  }
  (std::make_index_sequence<std::variant_size_v<Spec>>());
}

TEST(ModelJson, ReadsBackEveryKindOfBlock) {
  for (const MixerSpec& mixer : each_kind<MixerSpec>()) {
    for (const MlpSpec& mlp : each_kind<MlpSpec>()) {
      for (const NormSpec& norm : each_kind<NormSpec>()) {
        const BlockSpec block{mixer, mlp, norm};
        const ModelConfig config{
            .hidden = 8, .vocab = 9, .positions = 10, .blocks = {block, block}, .norm = norm};
        const ModelConfig read = model_from_json(to_json(config));
        EXPECT_EQ(read.blocks, config.blocks)
            << "mixer " << mixer.index() << ", MLP " << mlp.index() << ", norm " << norm.index();
        EXPECT_EQ(read.norm, norm);
      }
    }
  }
}

TEST(ModelJson, ReadsBackTheSizesAndTheSpans) {
  const ModelConfig config{
      .hidden = 64,
      .vocab = 100,
      .positions = 32,
      .blocks = blocks_of_spans(parse_spans("full,window:4*2"), {.heads = 4, .scale = 0.5f},
                                GeluMlpSpec{80}, LayerNormSpec{1e-6f}),
      .tied = false,
      .norm = LayerNormSpec{1e-6f}};
  const ModelConfig read = model_from_json(to_json(config));
  EXPECT_EQ(to_json(read), to_json(config));
  EXPECT_EQ(read.blocks, config.blocks);
}

ModelConfig rotary_model(const char* spans, const RotaryThetas& thetas) {
  return {.hidden = 64,
          .vocab = 100,
          .positions = 32,
          .blocks = blocks_of_spans(parse_spans(spans), {.heads = 4}, GeluMlpSpec{80}, {}, thetas),
          .positions_kind = PositionsKind::rotary};
}

TEST(ModelJson, ReadsBackTheKindOfPositions) {
  for (const char* const spans : {"full,window:4*2,block:8", "full*2", "window:4"}) {
    const ModelConfig config = rotary_model(spans, {.full = 1e6, .window = 12345.678});
    const ModelConfig read = model_from_json(to_json(config));
    EXPECT_EQ(read.positions_kind, PositionsKind::rotary);
    EXPECT_EQ(read.blocks, config.blocks) << spans;
  }
  const ModelConfig none{.blocks = blocks_of_spans(parse_spans("full"), {}, GeluMlpSpec{}),
                         .positions_kind = PositionsKind::none};
  EXPECT_EQ(model_from_json(to_json(none)).positions_kind, PositionsKind::none);
  // A theta that no layer has makes no other model.
  EXPECT_EQ(to_json(rotary_model("full*2", {.full = 5, .window = 6})),
            to_json(rotary_model("full*2", {.full = 5, .window = 7})));
}

TEST(ModelJson, TakesLearnedPositionsForACheckpointWithoutTheirKind) {
  nlohmann::json older = to_json({.blocks = blocks_of_spans({Span{}}, {}, GeluMlpSpec{})});
  for (const char* const key : {"positions_kind", "rotary_theta", "rotary_theta_window"}) {
    EXPECT_EQ(older.erase(key), 1u);
  }
  const ModelConfig read = model_from_json(older);
  EXPECT_EQ(read.positions_kind, PositionsKind::learned);
  EXPECT_FALSE(std::get<AttentionSpec>(read.blocks.front().mixer).rotary_theta);
}

TEST(ModelJson, RefusesThetasThatDoNotFollowFromTheSpans) {
  ModelConfig config = rotary_model("window:4*2", {});
  std::get<AttentionSpec>(config.blocks[0].mixer).rotary_theta = 5;
  EXPECT_THROW(to_json(config), Error);
  config = rotary_model("window:4*2", {});
  config.positions_kind = PositionsKind::learned;
  EXPECT_THROW(to_json(config), Error);
}

TEST(ModelJson, RefusesBlocksThatDifferInMoreThanTheirSpans) {
  ModelConfig config{.blocks = blocks_of_spans(parse_spans("full*2"), {}, GeluMlpSpec{80})};
  config.blocks[1].mlp = GeluMlpSpec{81};
  EXPECT_THROW(to_json(config), Error);
}

}  // namespace
}  // namespace masformer
