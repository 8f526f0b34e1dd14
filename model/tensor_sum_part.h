// Where a sum over the tensor ranks enters the residual stream, forward, and where its gradient is
// brought together again, backward. Each rank's part of the sum is whole, [T, H]; the stream may be
// shared by tokens (TokenShards).
#pragma once

#include <optional>

#include "model/layer.h"

namespace masformer {

class TensorSumPart {
 public:
  // Declares the buffers where tokens are shared; the gradient is gathered in the pass `gathered`.
  TensorSumPart(LayerDeclarer& declare, Pass gathered);

  // Where this rank puts its part of the sum.
  Tensor part(const LayerRun& run) const { return summed_ ? run.buffers[*summed_] : run.output; }
  // Sums part() over the tensor ranks; returns this rank's rows of it, in part() still.
  Tensor sum(LayerRun& run) const;
  // run.output = those rows.
  void put(LayerRun& run) const;

  // Brings the gradient of all rows of run.output together.
  Tensor gather_gradient(LayerRun& run) const;
  // The same, once it has been gathered; until backward_weight.
  Tensor gradient(const LayerRun& run) const {
    return gradient_ ? run.buffers[*gradient_] : run.output_gradient;
  }

 private:
  TokenShards shards_;
  std::optional<BufferId> summed_, gradient_;  // [T, H], where tokens are shared
};

}  // namespace masformer
