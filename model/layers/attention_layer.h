// h + attention(ln_1 h) under the layer's span. With rotary positions, q and k are rotated after
// their product; the backward rotates their gradients back before it enters that product. The heads
// are split over the tensor axis: the products for q, k and v are column-parallel, the output
// projection is row-parallel (Megatron-LM, arXiv 1909.08053). q, k and v are one fused product,
// stored as one matrix and one buffer.
//
// Shapes: T tokens, H hidden, t tensor ranks.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "model/layers/norm_part.h"
#include "model/layers/projection_part.h"
#include "model/layers/sequence_attention.h"

namespace masformer {

class AttentionLayer final : public Layer {
 public:
  // `index`: the block's number in the model.
  AttentionLayer(LayerSetup setup, const AttentionSpec& spec, const NormSpec& norm, int index);

  SequenceAttention& attention() { return *attention_; }

  std::string kind() const override;
  LayerFlops forward_flops() const override;
  PassWork work(Pass pass) const override;
  MessageSizes message_sizes() const override { return attention_->message_sizes(); }

  void forward(LayerContext& context) const override;
  void recompute(LayerContext& context) const override;
  void backward_input(LayerContext& context) const override;
  void backward_weight(LayerContext& context) const override;

 private:
  // Rotates q and k, or their gradients by the inverse, in the rows of `qkv`. Does nothing without
  // rotary positions.
  void rotate(LayerContext& context, const Tensor& qkv, bool inverse) const;
  // attended = attention over the heads of qkv
  void attend(LayerContext& context) const;
  // [T, columns] -> [samples, sequence, columns]
  Tensor by_sample(Tensor rows) const;

  Recompute recompute_;
  MicroBatchShape shape_;
  TokenShards shards_;
  int tensor_ranks_;
  double element_bytes_;  // of activations
  std::int64_t hidden_;
  AttentionGeometry geometry_;
  std::optional<double> rotary_theta_;
  std::unique_ptr<NormPart> norm_;
  ParameterId qkv_weight_;
  std::unique_ptr<SequenceAttention> attention_;
  ProjectionPart projection_;
  BufferId qkv_;                            // [T, 3 H/t]; q and k are rotated
  BufferId attended_;                       // [T, H/t]
  BufferId lse_;                            // [samples, heads/t, rows of a sequence]
  BufferId attended_gradient_;              // [T, H/t]
  BufferId delta_;                          // same shape as lse
  std::optional<BufferId> q_gradient_sum_;  // [T, H/t] fp32, if qkv is bf16
  BufferId qkv_gradient_;                   // [T, 3 H/t]
};

}  // namespace masformer
