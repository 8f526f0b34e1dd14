// A layer norm.
//
// All gathered rows are kept for the weight gradients. Gathering them again in the backward would
// save that memory, but cost one more exchange per norm.
#pragma once

#include <string>

#include "model/layers/norm_part.h"

namespace masformer {

class LayerNormPart final : public NormPart {
 public:
  // Registers `name`.weight, `name`.bias and the buffers.
  LayerNormPart(LayerSetup& setup, const LayerNormSpec& spec, const std::string& name,
                Pass last_reader);

  Tensor forward(LayerContext& context) const override;
  Tensor normed(const LayerContext& context) const override { return context.buffers[normed_]; }
  Tensor normed_gradient(const LayerContext& context) const override {
    return context.buffers[normed_gradient_];
  }
  void backward(LayerContext& context, Tensor residual) const override;

 private:
  TokenShards shards_;
  float epsilon_;
  ParameterId weight_, bias_;
  BufferId normed_, mean_, rstd_, normed_gradient_;
};

}  // namespace masformer
