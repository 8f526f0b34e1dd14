#include "model/embedding_layer.h"

#include "runtime/ops/embedding.h"

namespace masformer {

ParameterId declare_token_table(LayerDeclarer& declare) {
  const ModelConfig& config = declare.config;
  return declare.parameters.split_rows({"transformer.wte.weight"}, {config.vocab, config.hidden},
                                       Initial::normal,
                                       padded_vocab(config.vocab, declare.place.ranks));
}

EmbeddingLayer::EmbeddingLayer(LayerDeclarer declare)
    : shards_(declare.shards()),
      sum_(declare, Pass::backward_weight),
      tokens_(declare_token_table(declare)),
      positions_(declare.parameters.replicated("transformer.wpe.weight",
                                               {declare.config.positions, declare.config.hidden},
                                               Initial::normal)),
      first_word_(equal_part(padded_vocab(declare.config.vocab, declare.place.ranks),
                             declare.place.ranks, declare.place.rank)
                      .begin) {}

void EmbeddingLayer::forward(LayerRun& run) const {
  embedding(run.stream, run.batch.tokens, run.parameters[tokens_].value, first_word_, false,
            sum_.part(run));
  embedding(run.stream, shards_.own_rows(run.batch.positions), run.parameters[positions_].value, 0,
            true, sum_.sum(run));
  sum_.put(run);
}

void EmbeddingLayer::backward_weight(LayerRun& run) const {
  const Tensor gradient = sum_.gather_gradient(run);
  embedding_backward(run.stream, run.batch.tokens, gradient, first_word_,
                     run.parameters[tokens_].gradient);
  embedding_backward(run.stream, run.batch.positions, gradient, 0,
                     run.parameters[positions_].gradient);
}

}  // namespace masformer
