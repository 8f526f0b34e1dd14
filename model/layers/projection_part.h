// The row-parallel product at the end of attention and MLP, which adds to the residual stream:
// output = input + bias + the sum of inner W^T over the tensor axis.
//
// Shapes: T tokens, N of them in a block, H hidden, I inner width on this rank.
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
  // The same with `inner` [N, I] of the tokens [first, first + N) only: once for each block of
  // tokens, and then finish_forward().
  void forward_block(LayerContext& context, Tensor inner, std::int64_t first) const;
  void finish_forward(LayerContext& context) const;
  // Gathers the gradient of context.output. What follows reads it.
  void start_backward(LayerContext& context) const { sum_.gather_gradient(context); }
  // Writes `inner_gradient` [T, I].
  void backward_input(LayerContext& context, Tensor inner_gradient) const;
  // The same if `inner` is gelu(before), for the tokens [first, first + N): writes the gradient of
  // `before` [N, I].
  void backward_input_gelu(LayerContext& context, Tensor before, Tensor before_gradient,
                           std::int64_t first) const;
  // `inner` [N, I] as in the forward, of the tokens [first, first + N).
  void backward_weight(LayerContext& context, Tensor inner, std::int64_t first = 0) const;

 private:
  // The rows of a tensor [T, H] that belong to the block `inner`.
  static Tensor rows_of(const Tensor& whole, const Tensor& inner, std::int64_t first) {
    return whole.slice(0, first, inner.dim(0));
  }

  TensorSumPart sum_;
  ParameterId weight_, bias_;
};

}  // namespace masformer
