// The row-parallel product at the end of attention and MLP, which adds to the residual stream:
// output = input + bias + the sum of inner W^T over the tensor axis.
//
// Shapes: T tokens, H hidden, I inner width on this rank.
#pragma once

#include <string>

#include "model/layers/tensor_sum_part.h"

namespace masformer {

class ProjectionPart {
 public:
  // Registers `name`.weight [H, inner], split by columns, and `name`.bias [H].
  ProjectionPart(LayerSetup& setup, const std::string& name, std::int64_t inner);

  // `inner` [T, I]; reads context.input, writes context.output.
  void forward(LayerContext& context, Tensor inner) const;
  // Writes `inner_gradient` [T, I].
  void backward_input(LayerContext& context, Tensor inner_gradient) const;
  // The same if `inner` is gelu(before): writes the gradient of `before` [T, I].
  void backward_input_gelu(LayerContext& context, Tensor before, Tensor before_gradient) const;
  // `inner` [T, I], as in the forward.
  void backward_weight(LayerContext& context, Tensor inner) const;

 private:
  TensorSumPart sum_;
  ParameterId weight_, bias_;
};

}  // namespace masformer
