// A layer norm inside a layer: its parameters, its buffers and its passes. The input is this rank's
// rows of the residual stream, the output the normed rows of all tokens, gathered over the tensor
// axis.
//
// The gathered rows are kept whole for the weight gradients. Gathering them again in the backward
// would save their memory and cost one more exchange per norm.
#pragma once

#include <string>

#include "model/layers/layer.h"

namespace masformer {

class LayerNormPart {
 public:
  // Registers `name`.weight, `name`.bias and the buffers. The normed activations are kept until the
  // pass `last_reader`.
  LayerNormPart(LayerSetup& setup, const std::string& name, Pass last_reader);

  // Returns the norm of context.input, all T rows.
  Tensor forward(LayerContext& context) const;
  Tensor normed(const LayerContext& context) const { return context.buffers[normed_]; }
  // Where the caller writes the gradient of the normed activations before backward(): all T rows,
  // as this rank's term of the sum over the tensor axis.
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
