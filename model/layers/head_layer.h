// The last layer: logits = ln_f(h) W^T and their cross-entropy, over a vocabulary that the tensor
// ranks hold by parts. Logits exist for a chunk of tokens at a time and are never kept, so all of
// the backward that needs them, W's gradient included, happens in backward_input; in training
// the loss is found there as well, and in evaluation by the forward.
//
// Shapes: T tokens, C tokens of a chunk, H hidden, V padded vocabulary / t.
#pragma once

#include <optional>
#include <string>

#include "model/layers/layer_norm_part.h"
#include "runtime/ops/cross_entropy.h"

namespace masformer {

class HeadLayer final : public Layer {
 public:
  // `weight`: the parameter [V, H] of the tied table or of the head's own.
  HeadLayer(LayerSetup setup, ParameterId weight);

  std::string kind() const override { return "head"; }
  double forward_flops(PairCount count) const override;

  void forward(LayerContext& context) const override;
  void backward_input(LayerContext& context) const override;
  void backward_weight(LayerContext&) const override {}

 private:
  struct Chunk {
    Tensor normed, labels, logits, max, sum, target;
  };
  Chunk chunk(const LayerContext& context, std::int64_t begin) const;
  // Fills chunk.logits and adds the chunk's loss to context.loss; chunk.sum becomes the
  // log-sum-exp.
  void loss(LayerContext& context, Chunk& chunk) const;

  std::int64_t tokens_, hidden_;
  std::int64_t max_chunk_;  // tokens whose logits are held at once
  VocabularyShard shard_;
  ParameterId weight_;
  LayerNormPart norm_;
  BufferId logits_;                          // [C, V], fp32
  std::optional<BufferId> logits_gradient_;  // [C, V], where that is not in the place of the logits
  BufferId statistics_;  // [3, C]: the largest logit, then the sum of exponentials and the target's
};

}  // namespace masformer
