#include "model/projection_part.h"

#include "runtime/ops/elementwise.h"
#include "runtime/ops/linear.h"

namespace masformer {

ProjectionPart::ProjectionPart(LayerDeclarer& declare, const std::string& name, std::int64_t inner)
    : shards_(declare.shards()) {
  const std::int64_t hidden = declare.config.hidden;
  weight_ = declare.parameters.split_columns(name + ".weight", {hidden, inner});
  bias_ = declare.parameters.replicated(name + ".bias", {hidden}, Initial::zeros);
  if (!shards_.shared()) return;
  const Shape whole{shards_.tokens(), hidden};
  projected_ = declare.buffers.add("projected", whole, Pass::forward, Pass::forward);
  output_gradient_ =
      declare.buffers.add("output gradient", whole, Pass::backward_input, Pass::backward_weight);
  if (declare.recompute == Recompute::block) declare.buffers.mark_recomputed(*projected_);
}

void ProjectionPart::forward(LayerRun& run, Tensor inner) const {
  const Tensor sum = whole(run, projected_, run.output);
  linear(run.stream, inner, run.parameters[weight_].value, {}, sum);
  shards_.sum(run.tensor, sum);
  const Tensor own = shards_.own_rows(sum);
  add_residual(run.stream, run.input, run.parameters[bias_].value, own);
  if (projected_) copy(run.stream, own, run.output);
}

void ProjectionPart::backward_input(LayerRun& run, Tensor inner_gradient) const {
  const Tensor gradient = whole(run, output_gradient_, run.output_gradient);
  if (output_gradient_) {
    copy(run.stream, run.output_gradient, shards_.own_rows(gradient));
    shards_.gather(run.tensor, gradient);
  }
  linear_backward_input(run.stream, gradient, run.parameters[weight_].value, inner_gradient);
}

void ProjectionPart::backward_weight(LayerRun& run, Tensor inner) const {
  linear_backward_weight(run.stream, whole(run, output_gradient_, run.output_gradient), inner,
                         run.parameters[weight_].gradient, run.parameters[bias_].gradient);
}

Tensor ProjectionPart::whole(const LayerRun& run, const std::optional<BufferId>& buffer,
                             Tensor own) const {
  return buffer ? run.buffers[*buffer] : own;
}

}  // namespace masformer
