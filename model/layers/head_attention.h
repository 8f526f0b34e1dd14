// Attention that the context ranks share by heads: each computes its share of them over the whole
// sequence (parallel/context/head_exchange.h).
//
// Kept from forward to backward: q, k and v of the whole sequence for the share of heads, and their
// result and lse, which is as much as ContextAttention keeps of its own rows; in addition to the
// layer's own rows of the result. The rows of qkv that the layer computed are released after the
// forward. Recompute::selective keeps q, k and v, and sends the results once more.
// Recompute::block keeps nothing, and sends everything once more.
//
// Shapes: B samples, P context ranks, L positions of the whole sequence, S = L / P rows of a rank,
// W and V as in sequence_attention.h, w = W / P, v = V / P.
#pragma once

#include <cstdint>
#include <vector>

#include "model/layers/sequence_attention.h"
#include "parallel/context/head_exchange.h"
#include "runtime/ops/attention/attention.h"

namespace masformer {

class HeadAttention final : public SequenceAttention {
 public:
  // Throws Error unless the context ranks divide the heads, those of keys too.
  HeadAttention(LayerSetup& setup, const AttentionGeometry& geometry);

  // What is executed. Tests change it.
  HeadExchange& plan() { return plan_; }

  Pass last_reader_of_qkv() const override { return Pass::forward; }
  MessageSizes message_sizes() const override;

  void forward(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const override;
  void recompute(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const override;
  void backward(LayerContext& context, const Backward& args) const override;

 private:
  // The columns of one part of a tensor, such as those of the keys in qkv.
  struct Part {
    std::int64_t first = 0, width = 0;  // of all heads; a rank's share of them is 1/P
  };
  using Parts = std::vector<Part>;

  // Rows [B, S, C] of this rank -> the whole sequence [L, B, C / P] of its heads, where C is the
  // width of all parts. `packed` [P - 1, S, B, C / P] holds what is sent.
  void gather_heads(LayerContext& context, const Parts& parts, Tensor rows, Tensor packed,
                    Tensor whole) const;
  // The inverse. `arriving` [P - 1, S, B, C / P] holds what is received.
  void return_heads(LayerContext& context, const Parts& parts, Tensor whole, Tensor arriving,
                    Tensor rows) const;
  // Computes the result of the whole sequence, and returns the rows to their ranks.
  void attend(LayerContext& context, const AttentionMask& mask, Tensor out, Tensor lse) const;

  // The mask of the whole sequence.
  AttentionMask mask_of(const MicroBatch& batch) const;

  // The columns of a part of x [B, S, C] that belong to the heads of `rank`: [S, B, ...].
  Tensor columns_of(const Tensor& x, const Part& part, int rank) const;
  // The same part of this rank's x [..., C / P].
  Tensor share_of(const Tensor& x, const Part& part) const;
  // A part of x [L, B, C / P] as [B, L, heads / P, head dim].
  Tensor heads_of(const Tensor& x, const Part& part) const;
  // A tensor of as many elements as [B, heads, S] or [B, S, W], as [B, heads / P, L] or
  // [B, L, heads / P, head dim].
  Tensor statistics_of(const Tensor& x) const;
  Tensor sums_of(const Tensor& x) const;

  AttentionGeometry geometry_;
  HeadExchange plan_;
  Recompute recompute_;
  int rank_, ranks_;
  std::int64_t samples_, rows_;
  std::int64_t share_;  // heads that a rank computes
  Parts qkv_parts_, out_part_;
  DType dtype_;
  BufferId qkv_, out_;                 // [L, B, w + 2 v], [L, B, w]
  BufferId dqkv_, dout_;               // the same
  BufferId sent_qkv_;                  // [P - 1, S, B, w + 2 v]
  BufferId arriving_out_, sent_dout_;  // [P - 1, S, B, w]
};

}  // namespace masformer
