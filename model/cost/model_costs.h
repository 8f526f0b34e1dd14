// What each block of a model costs a rank under a layout, in time and memory: what the balancer is
// given (parallel/pipeline/balance.h).
#pragma once

#include <vector>

#include "model/cost/layer_times.h"
#include "parallel/pipeline/balance.h"

namespace masformer {

struct ModelCosts {
  std::vector<BalanceBlock> blocks;
  BalanceEnd embedding, head;
};

// `choices`: what the blocks may recompute, each an entry per block, as StagePolicy::recompute,
// which is ignored. Memory is that of the last data and tensor rank, which owns most. A block's
// memory is what its layers register: buffers that are kept from the forward to the backward are
// held, those that backward_weight uses wait for it, recomputed ones included, and all others of
// the block that uses most are working memory. So the sum over a stage is close to plan_memory(),
// but above or below it: that one knows which buffers share memory, and adds what belongs to no
// block.
ModelCosts model_costs(const ModelConfig& config, const Mesh& mesh, const Placement& placement,
                       const StagePolicy& policy,
                       const std::vector<std::vector<Recompute>>& choices, const LayerTimes& times);

}  // namespace masformer
