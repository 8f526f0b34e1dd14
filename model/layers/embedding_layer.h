// The first layer: wte[token] + wpe[position], or wte[token] alone for a model without learned
// positions. The token table is split by rows over the tensor
// axis. Each rank looks up the tokens whose rows it has and leaves zeros for the others; a sum over
// the tensor axis completes them.
#pragma once

#include <optional>
#include <string>

#include "model/layers/tensor_sum_part.h"

namespace masformer {

class EmbeddingLayer final : public Layer {
 public:
  explicit EmbeddingLayer(LayerSetup setup);

  std::string kind() const override { return "embedding"; }
  LayerFlops forward_flops() const override { return {}; }
  PassWork work(Pass pass) const override;

  void forward(LayerContext& context) const override;
  void backward_input(LayerContext&) const override {}  // tokens have no gradient
  void backward_weight(LayerContext& context) const override;

  ParameterId token_table() const { return tokens_; }

 private:
  TokenShards shards_;
  int tensor_ranks_;
  double hidden_, element_bytes_;  // of activations
  TensorSumPart sum_;
  ParameterId tokens_;
  std::optional<ParameterId> positions_;
  std::int64_t first_word_;
};

// Registers the token table [padded vocabulary / t, hidden], for the embedding and for a tied head.
ParameterId add_token_table(LayerSetup& setup);

}  // namespace masformer
