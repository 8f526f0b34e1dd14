// h + W2 gelu(W1 ln_2(h) + b1) + b2. The first product is column-parallel, the second row-parallel
// (Megatron-LM, arXiv 1909.08053).
//
// Shapes: T tokens, H hidden, F ffn, t tensor ranks.
#pragma once

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

  void forward(LayerContext& context) const override;
  void recompute(LayerContext& context) const override;
  void backward_input(LayerContext& context) const override;
  void backward_weight(LayerContext& context) const override;

 private:
  // before_gelu = W1 ln_2(h) + b1, after_gelu = gelu(before_gelu)
  void expand(LayerContext& context) const;

  Recompute recompute_;
  Shape inner_;  // [T, F/t]
  std::int64_t hidden_;
  std::unique_ptr<NormPart> norm_;
  ParameterId weight_, bias_;
  ProjectionPart projection_;
  BufferId before_gelu_, after_gelu_;  // [T, F/t]
  BufferId before_gelu_gradient_;      // [T, F/t]
};

}  // namespace masformer
