// h + W2 gelu(W1 ln_2(h) + b1) + b2. The first product is column-parallel, the second row-parallel
// (Megatron-LM, arXiv 1909.08053).
//
// With LayerSetup::ffn_block, the tokens are computed by blocks of N rows (Blockwise Parallel
// Transformer, arXiv 2305.19370): what is F wide exists for one block at a time, in the forward and
// in the backward. Nothing of it is kept. The backward computes each block's first product again,
// and adds to the weights' gradients in backward_input, block after block, because these need the
// same rows; backward_weight would have to compute them a third time.
//
// Shapes: T tokens, N of them in a block (T without blocks), H hidden, F ffn, t tensor ranks.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "model/layers/norm_part.h"
#include "model/layers/projection_part.h"

namespace masformer {

class MlpLayer final : public Layer {
 public:
  // `index`: the block's number in the model.
  MlpLayer(LayerSetup setup, const GeluMlpSpec& spec, const NormSpec& norm, int index);

  std::string kind() const override { return "mlp"; }
  LayerFlops forward_flops() const override;
  PassWork work(Pass pass) const override;

  void forward(LayerContext& context) const override;
  void recompute(LayerContext& context) const override;
  void backward_input(LayerContext& context) const override;
  void backward_weight(LayerContext& context) const override;

 private:
  // The tokens [begin, begin + count), at most N.
  using Rows = ShardRange;
  // What a pass computes of a block of tokens.
  struct Inner {
    BufferId before_gelu = 0, after_gelu = 0;  // [N, F/t]
  };

  void add_buffers(LayerSetup& setup);
  void add_block_buffers(LayerSetup& setup);

  // Calls visit(rows) for each block of tokens, in order.
  template <class Visit>
  void for_each_block(const Visit& visit) const {
    for (std::int64_t begin = 0; begin < tokens_; begin += block_) {
      visit(Rows{begin, std::min(block_, tokens_ - begin)});
    }
  }
  // The part of a block's buffer that `rows` take; the last block may be smaller.
  static Tensor buffer(const LayerContext& context, BufferId id, Rows rows) {
    return context.buffers[id].slice(0, 0, rows.count);
  }

  // before_gelu = W1 normed + b1, after_gelu = gelu(before_gelu)
  void expand(LayerContext& context, Tensor normed, Rows rows, const Inner& inner) const;
  // Adds the rows' terms to the gradients of both products' weights.
  void add_weight_gradients(LayerContext& context, Rows rows) const;

  Recompute recompute_;
  bool blocked_;
  TokenShards shards_;
  int tensor_ranks_;
  double element_bytes_;         // of activations
  std::int64_t tokens_, block_;  // T, N
  std::int64_t width_;           // F/t
  std::int64_t hidden_;
  std::unique_ptr<NormPart> norm_;
  ParameterId weight_, bias_;
  ProjectionPart projection_;
  Inner forward_, backward_;           // the same without blocks
  BufferId before_gelu_gradient_ = 0;  // [N, F/t]
};

}  // namespace masformer
