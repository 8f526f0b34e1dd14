// wte[token] + wpe[position]: the first layer. The table of tokens is split by rows over the
// tensor axis; each rank looks up its own words and a sum joins them.
#pragma once

#include <string>

#include "model/layers/tensor_sum_part.h"

namespace masformer {

class EmbeddingLayer final : public Layer {
 public:
  explicit EmbeddingLayer(LayerSetup setup);

  std::string kind() const override { return "embedding"; }
  double forward_flops(PairCount) const override { return 0; }

  void forward(LayerContext& context) const override;
  void backward_input(LayerContext&) const override {}  // tokens have no gradient
  void backward_weight(LayerContext& context) const override;

  ParameterId token_table() const { return tokens_; }

 private:
  TokenShards shards_;
  TensorSumPart sum_;
  ParameterId tokens_, positions_;
  std::int64_t first_word_;
};

// The table of tokens [padded vocabulary / t, hidden], for the embedding and for a head tied to it.
ParameterId declare_token_table(LayerSetup& setup);

}  // namespace masformer
