// A layer norm inside a layer: its parameters, what it keeps, and its two passes. It takes this
// rank's rows of the residual stream and gives all tokens normed.
#pragma once

#include <string>

#include "model/layer.h"

namespace masformer {

class LayerNormPart {
 public:
  // Declares `name`.weight and `name`.bias, and the buffers: the normed activations stay until
  // `last_reader`.
  LayerNormPart(LayerDeclarer& declare, const std::string& name, Pass last_reader);

  // The norm of run.input, whole.
  Tensor forward(LayerRun& run) const;
  Tensor normed(const LayerRun& run) const { return run.buffers[normed_]; }
  // Where the gradient of the normed activations is put before backward(): whole, and this rank's
  // part of a sum over the tensor axis.
  Tensor normed_gradient(const LayerRun& run) const { return run.buffers[normed_gradient_]; }
  // run.input_gradient = residual + the norm's backward of normed_gradient(); adds to the norm's
  // own gradients.
  void backward(LayerRun& run, Tensor residual) const;

 private:
  TokenShards shards_;
  float epsilon_;
  ParameterId weight_, bias_;
  BufferId normed_, mean_, rstd_, normed_gradient_;
};

}  // namespace masformer
