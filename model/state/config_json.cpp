#include "model/state/config_json.h"

#include <optional>
#include <string>
#include <variant>

#include "runtime/error.h"

namespace masformer {
namespace {

// The specification that all blocks share, with span and theta of the first block. Throws Error if
// there is no block, or if they differ in more than these.
BlockSpec common_block(const ModelConfig& config) {
  require(!config.blocks.empty(), "the model has no block");
  const BlockSpec& first = config.blocks.front();
  const std::vector<Span> spans = spans_of(config.blocks);
  const std::optional<RotaryThetas> thetas = thetas_of(config.blocks);
  require(config.blocks == blocks_of_spans(spans, std::get<AttentionSpec>(first.mixer), first.mlp,
                                           first.norm, thetas),
          "the blocks differ in more than their attention spans and the thetas of these");
  require(thetas.has_value() == (config.positions_kind == PositionsKind::rotary),
          "positions are {}, but the blocks are of another kind", name_of(config.positions_kind));
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
  const RotaryThetas thetas = thetas_of(config.blocks).value_or(RotaryThetas{0, 0});
  nlohmann::json model{{"layers", config.layers()},
                       {"hidden", config.hidden},
                       {"vocab", config.vocab},
                       {"positions", config.positions},
                       {"positions_kind", name_of(config.positions_kind)},
                       {"rotary_theta", thetas.full},
                       {"rotary_theta_window", thetas.window},
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
    const auto kind = parse_enum<PositionsKind>(
        model.value("positions_kind", std::string(name_of(defaults.positions_kind))));
    std::optional<RotaryThetas> thetas;
    if (kind == PositionsKind::rotary) {
      thetas = {model.at("rotary_theta"), model.at("rotary_theta_window")};
    }
    return {.hidden = model.at("hidden"),
            .vocab = model.at("vocab"),
            .positions = model.at("positions"),
            .blocks = blocks_of_spans(parse_spans(model.at("spans").get<std::string>()), attention,
                                      mlp, norm, thetas),
            .tied = model.value("tied", defaults.tied),
            .norm = norm,
            .positions_kind = kind};
  } catch (const nlohmann::json::exception& error) {
    fail("the checkpoint does not describe a model: {}", error.what());
  }
}

}  // namespace masformer
