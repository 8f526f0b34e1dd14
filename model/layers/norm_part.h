// A norm inside a layer: its parameters, its buffers and its passes. The input is this rank's rows
// of the residual stream, the output the normed rows of all tokens, gathered over the tensor axis.
#pragma once

#include <memory>
#include <string>

#include "model/block_spec.h"
#include "model/layers/layer.h"

namespace masformer {

class NormPart {
 public:
  virtual ~NormPart() = default;

  // Returns the norm of context.input, all T rows.
  virtual Tensor forward(LayerContext& context) const = 0;
  // The tensor that forward() returned. Valid through the pass that make_norm() got as
  // `last_reader`.
  virtual Tensor normed(const LayerContext& context) const = 0;
  // The tensor into which the caller writes the gradient of the normed activations before it calls
  // backward(): all T rows, this rank's term of the sum over the tensor axis.
  virtual Tensor normed_gradient(const LayerContext& context) const = 0;
  // context.input_gradient = residual + the norm's backward of normed_gradient(); adds to the
  // norm's own gradients.
  virtual void backward(LayerContext& context, Tensor residual) const = 0;
};

// Registers the norm's parameters, as `name`.weight and so on, and its buffers. The normed
// activations are kept until the pass `last_reader`. This is the list of all kinds of norms.
std::unique_ptr<NormPart> make_norm(LayerSetup& setup, const NormSpec& spec,
                                    const std::string& name, Pass last_reader);

}  // namespace masformer
