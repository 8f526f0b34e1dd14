// A layer norm inside a layer: its parameters, what it keeps, and its two passes. It takes this
// rank's rows of the residual stream and gives all tokens normed.
#pragma once

#include <string>

#include "model/layers/layer.h"

namespace masformer {

class LayerNormPart {
 public:
  // Declares `name`.weight and `name`.bias, and the buffers: the normed activations stay until
  // `last_reader`.
  LayerNormPart(LayerSetup& setup, const std::string& name, Pass last_reader);

  // The norm of context.input, whole.
  Tensor forward(LayerContext& context) const;
  Tensor normed(const LayerContext& context) const { return context.buffers[normed_]; }
  // Where the gradient of the normed activations is put before backward(): whole, and this rank's
  // part of a sum over the tensor axis.
  Tensor normed_gradient(const LayerContext& context) const {
    return context.buffers[normed_gradient_];
  }
  // context.input_gradient = residual + the norm's backward of normed_gradient(); adds to the
  // norm's own gradients.
  void backward(LayerContext& context, Tensor residual) const;

 private:
  TokenShards shards_;
  float epsilon_;
  ParameterId weight_, bias_;
  BufferId normed_, mean_, rstd_, normed_gradient_;
};

}  // namespace masformer
