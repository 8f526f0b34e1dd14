#include "model/tensor_sum_part.h"

#include "runtime/ops/elementwise.h"

namespace masformer {

TensorSumPart::TensorSumPart(LayerDeclarer& declare, Pass gathered) : shards_(declare.shards()) {
  if (!shards_.shared()) return;
  const Shape whole{shards_.tokens(), declare.config.hidden};
  summed_ = declare.buffers.add("summed", whole, Pass::forward, Pass::forward);
  gradient_ = declare.buffers.add("output gradient", whole, gathered, Pass::backward_weight);
  if (declare.recompute == Recompute::block) declare.buffers.mark_recomputed(*summed_);
}

Tensor TensorSumPart::sum(LayerRun& run) const {
  shards_.sum(run.tensor, part(run));
  return shards_.own_rows(part(run));
}

void TensorSumPart::put(LayerRun& run) const {
  if (summed_) copy(run.stream, shards_.own_rows(part(run)), run.output);
}

Tensor TensorSumPart::gather_gradient(LayerRun& run) const {
  const Tensor whole = gradient(run);
  if (gradient_) copy(run.stream, run.output_gradient, shards_.own_rows(whole));
  shards_.gather(run.tensor, whole);
  return whole;
}

}  // namespace masformer
