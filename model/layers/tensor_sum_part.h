// A sum over the tensor ranks that enters the residual stream in the forward, and whose gradient is
// gathered in the backward. Each rank's term is [T, H]; the residual stream may be split over the
// tensor ranks by tokens (TokenShards).
#pragma once

#include <optional>

#include "model/layers/layer.h"

namespace masformer {

class TensorSumPart {
 public:
  // Registers the buffers if tokens are split; the gradient is gathered in the pass `gathered`.
  TensorSumPart(LayerSetup& setup, Pass gathered);

  // The tensor into which the caller writes this rank's term of the sum.
  Tensor part(const LayerContext& context) const {
    return summed_ ? context.buffers[*summed_] : context.output;
  }
  // Sums part() over the tensor ranks and returns this rank's rows of the sum, a view of part().
  Tensor sum(LayerContext& context) const;
  // Copies those rows to context.output.
  void put(LayerContext& context) const;

  // Gathers the gradient of context.output of all tensor ranks, [T, H].
  Tensor gather_gradient(LayerContext& context) const;
  // The tensor that gather_gradient() returned. Valid until the end of backward_weight.
  Tensor gradient(const LayerContext& context) const {
    return gradient_ ? context.buffers[*gradient_] : context.output_gradient;
  }

 private:
  TokenShards shards_;
  std::optional<BufferId> summed_, gradient_;  // [T, H], if tokens are split
};

}  // namespace masformer
