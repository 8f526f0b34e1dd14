// A layer norm inside a layer: its parameters, what it keeps, and its two passes.
#pragma once

#include <string>

#include "model/layer.h"

namespace masformer {

class LayerNormPart {
 public:
  // Declares `name`.weight and `name`.bias, and the buffers: the normed activations stay until
  // `last_reader`.
  LayerNormPart(const ModelConfig& config, const std::string& name, std::int64_t tokens,
                Pass last_reader, ParameterDeclarer& parameters, BufferDeclarer& buffers);

  // The norm of run.input.
  Tensor forward(LayerRun& run) const;
  Tensor normed(const LayerRun& run) const { return run.buffers[normed_]; }
  // Where the gradient of the normed activations is put before backward().
  Tensor normed_gradient(const LayerRun& run) const { return run.buffers[normed_gradient_]; }
  // run.input_gradient = residual + the norm's backward of normed_gradient(); adds to the norm's
  // own gradients.
  void backward(LayerRun& run, Tensor residual) const;

 private:
  float epsilon_;
  ParameterId weight_, bias_;
  BufferId normed_, mean_, rstd_, normed_gradient_;
};

}  // namespace masformer
