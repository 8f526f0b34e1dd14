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

EmbeddingLayer::EmbeddingLayer(LayerSetup setup)
    : shards_(setup.shards()),
      sum_(setup, Pass::backward_weight),
      tokens_(add_token_table(setup)),
      positions_(setup.parameters.replicated("transformer.wpe.weight",
                                             {setup.config.positions, setup.config.hidden},
                                             Initial::normal)),
      first_word_(equal_shard_range(padded_vocab(setup.config.vocab, setup.place.ranks),
                                    setup.place.ranks, setup.place.rank)
                      .begin) {
  setup.need_workspace(cuda_workspace::embedding_backward(setup.tokens()));
}

void EmbeddingLayer::forward(LayerContext& context) const {
  embedding(context.stream, context.batch.tokens, context.parameters[tokens_].value, first_word_,
            false, sum_.part(context));
  embedding(context.stream, shards_.own_rows(context.batch.positions),
            context.parameters[positions_].value, 0, true, sum_.sum(context));
  sum_.put(context);
}

void EmbeddingLayer::backward_weight(LayerContext& context) const {
  const Tensor gradient = sum_.gather_gradient(context);
  embedding_backward(context.stream, context.batch.tokens, gradient, first_word_,
                     context.parameters[tokens_].gradient);
  embedding_backward(context.stream, context.batch.positions, gradient, 0,
                     context.parameters[positions_].gradient);
}

}  // namespace masformer
