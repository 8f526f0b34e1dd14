// The last layer: logits = ln_f(h) W^T and their cross-entropy, over a vocabulary that is split
// over the tensor ranks.
//
// The logits, [T, V] in fp32, are never all in memory at once. They are computed for a chunk of C
// tokens at a time, and everything that needs them is computed from the same chunk: in training,
// backward_input computes the loss and both gradients. The weight gradient is not deferred to
// backward_weight, although a schedule with split backwards would profit from that, because
// computing the logits twice would cost more. The training forward computes only the norm; the
// evaluation forward computes the loss.
//
// Shapes: T tokens, C tokens of a chunk, H hidden, V padded vocabulary / t.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/layers/norm_part.h"
#include "runtime/ops/cross_entropy.h"

namespace masformer {

class HeadLayer final : public Layer {
 public:
  // `weight`: the parameter [V, H] of the tied table or of the head's own.
  HeadLayer(LayerSetup setup, ParameterId weight);

  std::string kind() const override { return "head"; }
  LayerFlops forward_flops() const override;
  PassWork work(Pass pass) const override;

  void forward(LayerContext& context) const override;
  void backward_input(LayerContext& context) const override;
  void backward_weight(LayerContext&) const override {}

 private:
  struct Chunk {
    Tensor normed, labels, logits, max, sum, target;
  };
  Chunk chunk(const LayerContext& context, std::int64_t begin) const;
  // Of the loss of all chunks.
  std::vector<TensorSum> sums() const;
  // Fills chunk.logits and adds the chunk's loss to context.loss; chunk.sum becomes the
  // log-sum-exp.
  void loss(LayerContext& context, Chunk& chunk) const;

  std::int64_t tokens_, hidden_;
  TokenShards shards_;
  int tensor_ranks_;
  double element_bytes_;    // of activations
  std::int64_t max_chunk_;  // tokens whose logits are held at once
  VocabularyShard shard_;
  ParameterId weight_;
  std::unique_ptr<NormPart> norm_;
  BufferId logits_;                          // [C, V], fp32
  std::optional<BufferId> logits_gradient_;  // [C, V] in bf16; in fp32 it overwrites the logits
  // [3, C]: the largest logit, the sum of exponentials, and the target's logit.
  BufferId statistics_;
};

}  // namespace masformer
