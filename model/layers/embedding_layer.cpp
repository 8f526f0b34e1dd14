#include "model/layers/embedding_layer.h"

#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/embedding.h"

namespace masformer {

ParameterId add_token_table(LayerSetup& setup) {
  const ModelConfig& config = setup.config;
  return setup.parameters.split_rows({"transformer.wte.weight"}, {config.vocab, config.hidden},
                                     Initial::normal,
                                     padded_vocab(config.vocab, setup.place.ranks));
}

namespace {

std::optional<ParameterId> add_position_table(LayerSetup& setup) {
  if (setup.config.positions_kind != PositionsKind::learned) return std::nullopt;
  return setup.parameters.replicated(
      "transformer.wpe.weight", {setup.config.positions, setup.config.hidden}, Initial::normal);
}

}  // namespace

EmbeddingLayer::EmbeddingLayer(LayerSetup setup)
    : shards_(setup.shards()),
      sum_(setup, Pass::backward_weight),
      tokens_(add_token_table(setup)),
      positions_(add_position_table(setup)),
      first_word_(equal_shard_range(padded_vocab(setup.config.vocab, setup.place.ranks),
                                    setup.place.ranks, setup.place.rank)
                      .begin) {
  setup.need_workspace(cuda_workspace::embedding_backward(setup.tokens()));
}

void EmbeddingLayer::forward(LayerContext& context) const {
  embedding(context.stream, context.batch.tokens, context.parameters[tokens_].value, first_word_,
            false, sum_.part(context));
  const Tensor own = sum_.sum(context);
  if (positions_) {
    embedding(context.stream, shards_.own_rows(context.batch.positions),
              context.parameters[*positions_].value, 0, true, own);
  }
  sum_.put(context);
}

void EmbeddingLayer::backward_weight(LayerContext& context) const {
  const Tensor gradient = sum_.gather_gradient(context);
  embedding_backward(context.stream, context.batch.tokens, gradient, first_word_,
                     context.parameters[tokens_].gradient);
  if (!positions_) return;
  embedding_backward(context.stream, context.batch.positions, gradient, 0,
                     context.parameters[*positions_].gradient);
}

}  // namespace masformer
