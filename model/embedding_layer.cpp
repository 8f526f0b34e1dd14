#include "model/embedding_layer.h"

#include "runtime/ops/embedding.h"

namespace masformer {

ParameterId declare_token_table(const ModelConfig& config, int tensor_ranks,
                                ParameterDeclarer& parameters) {
  return parameters.split_rows({"transformer.wte.weight"}, {config.vocab, config.hidden},
                               Initial::normal, padded_vocab(config.vocab, tensor_ranks));
}

EmbeddingLayer::EmbeddingLayer(const ModelConfig& config, int tensor_rank, int tensor_ranks,
                               ParameterDeclarer& parameters)
    : tokens_(declare_token_table(config, tensor_ranks, parameters)),
      positions_(parameters.replicated("transformer.wpe.weight", {config.positions, config.hidden},
                                       Initial::normal)),
      first_word_(
          equal_part(padded_vocab(config.vocab, tensor_ranks), tensor_ranks, tensor_rank).begin) {}

void EmbeddingLayer::forward(LayerRun& run) const {
  embedding(run.stream, run.batch.tokens, run.parameters[tokens_].value, first_word_, false,
            run.output);
  run.tensor.all_reduce(run.output, Reduction::sum).wait();
  embedding(run.stream, run.batch.positions, run.parameters[positions_].value, 0, true, run.output);
}

void EmbeddingLayer::backward_weight(LayerRun& run) const {
  embedding_backward(run.stream, run.batch.tokens, run.output_gradient, first_word_,
                     run.parameters[tokens_].gradient);
  embedding_backward(run.stream, run.batch.positions, run.output_gradient, 0,
                     run.parameters[positions_].gradient);
}

}  // namespace masformer
