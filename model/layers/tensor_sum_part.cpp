#include "model/layers/tensor_sum_part.h"

#include "runtime/ops/elementwise.h"

namespace masformer {

TensorSumPart::TensorSumPart(LayerSetup& setup, Pass gathered) : shards_(setup.shards()) {
  if (!shards_.shared()) return;
  const Shape whole{shards_.tokens(), setup.config.hidden};
  summed_ = setup.buffers.add("summed", whole, Pass::forward, Pass::forward);
  gradient_ = setup.buffers.add("output gradient", whole, gathered, Pass::backward_weight);
  if (setup.recompute == Recompute::block) setup.buffers.mark_recomputed(*summed_);
}

Tensor TensorSumPart::sum(LayerContext& context) const {
  shards_.sum(context.stream, context.tensor, part(context));
  return shards_.own_rows(part(context));
}

void TensorSumPart::put(LayerContext& context) const {
  if (summed_) copy(context.stream, shards_.own_rows(part(context)), context.output);
}

Tensor TensorSumPart::gather_gradient(LayerContext& context) const {
  const Tensor whole = gradient(context);
  if (gradient_) copy(context.stream, context.output_gradient, shards_.own_rows(whole));
  shards_.gather(context.stream, context.tensor, whole);
  return whole;
}

}  // namespace masformer
