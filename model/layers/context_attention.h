// Attention over a sequence that the context ranks share: runs the layer's exchange plan
// (parallel/context/exchange_plan.h). With one context rank that is a single call of the op.
//
// Messages of a step travel while the previous step computes, so there are two of each buffer of a
// step. Key/value rows travel in the dtype of activations, their gradients in fp32, and all sums of
// partial results are in fp32, in an order that depends on the plan alone.
//
// Shapes: B samples, S this rank's rows of a sequence, R rows of a step, W = heads * head dim of
// this rank.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "model/layers/sequence_attention.h"
#include "parallel/context/exchange_plan.h"

namespace masformer {

class ContextAttention final : public SequenceAttention {
 public:
  // Registers the buffers of the exchange. `exchange`: none for choose_exchange().
  ContextAttention(LayerSetup& setup, const AttentionGeometry& geometry,
                   std::optional<Exchange> exchange = {});

  // What forward() and backward() run for batches without documents. Tests change it.
  ExchangePlan& plan() { return plan_; }
  MessageSizes message_sizes() const override;

  void forward(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const override;
  void backward(LayerContext& context, const Backward& args) const override;

 private:
  class Run;  // of a pass over one micro-batch
  class ForwardRun;
  class BackwardRun;

  // The buffers of one step's messages. Steps use the two slots in turn.
  struct Slot {
    std::optional<BufferId> held;      // [R, B, 2 V]: keys and values
    std::optional<BufferId> sent;      // [R, B, 2 V]: packed for their receivers
    std::optional<BufferId> returned;  // [R, B, 2 V] fp32: gradients of `held`
    std::optional<BufferId> arriving;  // [R, B, 2 V] fp32: gradients of `sent`
  };
  using Slots = std::array<Slot, 2>;

  void add_slots(LayerSetup& setup);
  void add_partial_results(LayerSetup& setup);
  // The exchange plan of `batch`. Documents give a batch a plan of its own. It holds, sends and
  // merges no more than the plan without documents, so the buffers of that one are enough, except
  // that more of its calls overlap (partial_dkv_).
  ExchangePlan plan_of(const MicroBatch& batch) const;
  // [B, n, W] or [B, n, V] as [B, n, heads, head dim].
  Tensor split_heads(const Tensor& x) const {
    return x.reshape({x.dim(0), x.dim(1), x.dim(2) / geometry_.head_dim, geometry_.head_dim});
  }
  struct Parts {
    Tensor q, k, v;  // [B, S, heads, head dim]
  };
  Parts parts_of(const Tensor& qkv) const;

  AttentionGeometry geometry_;
  SequenceSharding sharding_;
  int rank_;
  Exchange exchange_;
  ExchangePlan plan_;  // without documents
  bool document_mask_;
  std::int64_t samples_, rows_;
  DType dtype_;
  Slots forward_, backward_;
  // The results of a call that are merged or added into earlier ones.
  std::optional<BufferId> partial_out_, partial_lse_;  // [B, S, W], [B, heads, S]
  std::optional<BufferId> out_sum_;                    // [B, S, W] fp32, if activations are bf16
  std::optional<BufferId> partial_dq_;                 // [B, S, W] fp32
  std::optional<BufferId> dkv_;                        // [S, B, 2 V] fp32: of the own rows
  std::optional<BufferId> partial_dkv_;                // [R, B, 2 V] fp32, if calls may overlap
};

}  // namespace masformer
