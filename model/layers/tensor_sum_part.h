// Where a sum over the tensor ranks enters the residual stream, forward, and where its gradient is
// brought together again, backward. Each rank's part of the sum is whole, [T, H]; the stream may be
// shared by tokens (TokenShards).
#pragma once

#include <optional>

#include "model/layers/layer.h"

namespace masformer {

class TensorSumPart {
 public:
  // Declares the buffers where tokens are shared; the gradient is gathered in the pass `gathered`.
  TensorSumPart(LayerSetup& setup, Pass gathered);

  // Where this rank puts its part of the sum.
  Tensor part(const LayerContext& context) const {
    return summed_ ? context.buffers[*summed_] : context.output;
  }
  // Sums part() over the tensor ranks; returns this rank's rows of it, in part() still.
  Tensor sum(LayerContext& context) const;
  // context.output = those rows.
  void put(LayerContext& context) const;

  // Brings the gradient of all rows of context.output together.
  Tensor gather_gradient(LayerContext& context) const;
  // The same, once it has been gathered; until backward_weight.
  Tensor gradient(const LayerContext& context) const {
    return gradient_ ? context.buffers[*gradient_] : context.output_gradient;
  }

 private:
  TokenShards shards_;
  std::optional<BufferId> summed_, gradient_;  // [T, H], where tokens are shared
};

}  // namespace masformer
