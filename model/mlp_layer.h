// h + W2 gelu(W1 ln_2(h) + b1) + b2. The first product is column-parallel, the second row-parallel
// (Megatron-LM, arXiv 1909.08053).
//
// Shapes: T tokens, H hidden, F ffn, t tensor ranks.
#pragma once

#include "model/layer_norm_part.h"
#include "model/projection_part.h"

namespace masformer {

class MlpLayer final : public Layer {
 public:
  // `index`: the block's number in the model.
  MlpLayer(LayerDeclarer declare, int index);

  void forward(LayerRun& run) const override;
  void recompute(LayerRun& run) const override;
  void backward_input(LayerRun& run) const override;
  void backward_weight(LayerRun& run) const override;

 private:
  // before_gelu = W1 ln_2(h) + b1, after_gelu = gelu(before_gelu)
  void expand(LayerRun& run) const;

  Recompute recompute_;
  LayerNormPart norm_;
  ParameterId weight_, bias_;
  ProjectionPart projection_;
  BufferId before_gelu_, after_gelu_;  // [T, F/t]
  BufferId before_gelu_gradient_;      // [T, F/t]
};

}  // namespace masformer
