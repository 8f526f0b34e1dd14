#include "model/layers/embedding_layer.h"

#include "runtime/error.h"
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
      tensor_ranks_(setup.place.ranks),
      hidden_(static_cast<double>(setup.config.hidden)),
      element_bytes_(static_cast<double>(size_of(setup.buffers.dtype()))),
      sum_(setup, Pass::backward_weight),
      tokens_(add_token_table(setup)),
      positions_(add_position_table(setup)),
      first_word_(equal_shard_range(padded_vocab(setup.config.vocab, setup.place.ranks),
                                    setup.place.ranks, setup.place.rank)
                      .begin) {
  setup.need_workspace(cuda_workspace::embedding_backward(setup.tokens()));
}

// Each table is read and written to the rows of its tokens. The backward adds rows in fp32 to a
// gradient in fp32, which it reads and writes.
PassWork EmbeddingLayer::work(Pass pass) const {
  const auto tokens = static_cast<double>(shards_.tokens());
  const double tables = positions_ ? 2 : 1;
  switch (pass) {
    case Pass::forward:
      return {.streamed_bytes = element_bytes_ * 2 * tables * tokens * hidden_,
              .exchanges = exchanges_of_sum(tensor_ranks_, shards_.shared())};
    case Pass::backward_weight:
      return {.streamed_bytes = tables * tokens * hidden_ *
                                (element_bytes_ + 2 * static_cast<double>(size_of(DType::f32))),
              .exchanges = shards_.shared() ? 1 : 0};
    case Pass::recompute:
    case Pass::backward_input:
      return {};
  }
  fail("unknown pass {}", static_cast<int>(pass));
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
