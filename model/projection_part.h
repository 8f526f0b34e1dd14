// The end of a block's half: the row-parallel product that leads back to the residual stream,
// output = input + sum over the tensor axis of inner W^T + bias, and its passes.
//
// Shapes: T tokens, H hidden, I inner width on this rank.
#pragma once

#include <optional>
#include <string>

#include "model/layer.h"

namespace masformer {

class ProjectionPart {
 public:
  // Declares `name`.weight [H, inner], split by columns, and `name`.bias [H].
  ProjectionPart(LayerDeclarer& declare, const std::string& name, std::int64_t inner);

  // `inner` [T, I]; reads run.input, writes run.output.
  void forward(LayerRun& run, Tensor inner) const;
  // Writes `inner_gradient` [T, I].
  void backward_input(LayerRun& run, Tensor inner_gradient) const;
  // `inner` [T, I], as in the forward.
  void backward_weight(LayerRun& run, Tensor inner) const;

 private:
  // Where a whole [T, H] stands: in a buffer, or in `own` where every rank has all tokens.
  Tensor whole(const LayerRun& run, const std::optional<BufferId>& buffer, Tensor own) const;

  TokenShards shards_;
  ParameterId weight_, bias_;
  std::optional<BufferId> projected_, output_gradient_;  // [T, H], where tokens are shared
};

}  // namespace masformer
