#include "model/state/config_json.h"

#include <string>
#include <variant>

#include "runtime/error.h"

namespace masformer {
namespace {

// The specification that all blocks share, with the span of the first block. Throws Error if there
// is no block, or if they differ in more than their spans.
BlockSpec common_block(const ModelConfig& config) {
  require(!config.blocks.empty(), "the model has no block");
  const BlockSpec& first = config.blocks.front();
  const std::vector<Span> spans = spans_of(config.blocks);
  require(config.blocks ==
              blocks_of_spans(spans, std::get<AttentionSpec>(first.mixer), first.mlp, first.norm),
          "the blocks differ in more than their attention spans");
  require(config.norm == first.norm, "the norm before the head differs from those of the blocks");
  return first;
}

// The keys of a norm, a mixer or an MLP: an overload per alternative of their variants.
nlohmann::json keys_of(const LayerNormSpec& norm) {
  return {{"epsilon", norm.epsilon}};
}
nlohmann::json keys_of(const AttentionSpec& attention) {
  return {{"heads", attention.heads}, {"attention_scale", attention.scale}};
}
nlohmann::json keys_of(const GeluMlpSpec& mlp) {
  return {{"ffn", mlp.ffn}};
}

}  // namespace

nlohmann::json to_json(const ModelConfig& config) {
  const BlockSpec block = common_block(config);
  nlohmann::json model{{"layers", config.layers()},
                       {"hidden", config.hidden},
                       {"vocab", config.vocab},
                       {"positions", config.positions},
                       {"spans", to_string(spans_of(config.blocks))},
                       {"tied", config.tied}};
  const auto add_keys = [&](const auto& spec) { model.update(keys_of(spec)); };
  std::visit(add_keys, block.norm);
  std::visit(add_keys, block.mixer);
  std::visit(add_keys, block.mlp);
  return model;
}

ModelConfig model_from_json(const nlohmann::json& model) {
  try {
    const ModelConfig defaults;
    const AttentionSpec attention{.heads = model.at("heads"),
                                  .scale = model.value("attention_scale", AttentionSpec{}.scale)};
    const GeluMlpSpec mlp{model.at("ffn")};
    const LayerNormSpec norm{model.value("epsilon", LayerNormSpec{}.epsilon)};
    return {.hidden = model.at("hidden"),
            .vocab = model.at("vocab"),
            .positions = model.at("positions"),
            .blocks = blocks_of_spans(parse_spans(model.at("spans").get<std::string>()), attention,
                                      mlp, norm),
            .tied = model.value("tied", defaults.tied),
            .norm = norm};
  } catch (const nlohmann::json::exception& error) {
    fail("the checkpoint does not describe a model: {}", error.what());
  }
}

}  // namespace masformer
