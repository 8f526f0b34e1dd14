#include "model/embedding_layer.h"

#include "runtime/ops/elementwise.h"
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
      tokens_(declare_token_table(declare)),
      positions_(declare.parameters.replicated("transformer.wpe.weight",
                                               {declare.config.positions, declare.config.hidden},
                                               Initial::normal)),
      first_word_(equal_part(padded_vocab(declare.config.vocab, declare.place.ranks),
                             declare.place.ranks, declare.place.rank)
                      .begin) {
  if (!shards_.shared()) return;
  const Shape whole{shards_.tokens(), declare.config.hidden};
  looked_up_ = declare.buffers.add("looked up", whole, Pass::forward, Pass::forward);
  output_gradient_ =
      declare.buffers.add("output gradient", whole, Pass::backward_weight, Pass::backward_weight);
}

void EmbeddingLayer::forward(LayerRun& run) const {
  const Tensor sum = looked_up_ ? run.buffers[*looked_up_] : run.output;
  embedding(run.stream, run.batch.tokens, run.parameters[tokens_].value, first_word_, false, sum);
  shards_.sum(run.tensor, sum);
  if (looked_up_) copy(run.stream, shards_.own_rows(sum), run.output);
  embedding(run.stream, shards_.own_rows(run.batch.positions), run.parameters[positions_].value, 0,
            true, run.output);
}

void EmbeddingLayer::backward_weight(LayerRun& run) const {
  Tensor gradient = run.output_gradient;
  if (output_gradient_) {
    gradient = run.buffers[*output_gradient_];
    copy(run.stream, run.output_gradient, shards_.own_rows(gradient));
    shards_.gather(run.tensor, gradient);
  }
  embedding_backward(run.stream, run.batch.tokens, gradient, first_word_,
                     run.parameters[tokens_].gradient);
  embedding_backward(run.stream, run.batch.positions, gradient, 0,
                     run.parameters[positions_].gradient);
}

}  // namespace masformer
