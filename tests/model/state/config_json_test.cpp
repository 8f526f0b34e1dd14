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

TEST(ModelJson, RefusesBlocksThatDifferInMoreThanTheirSpans) {
  ModelConfig config{.blocks = blocks_of_spans(parse_spans("full*2"), {}, GeluMlpSpec{80})};
  config.blocks[1].mlp = GeluMlpSpec{81};
  EXPECT_THROW(to_json(config), Error);
}

}  // namespace
}  // namespace masformer
