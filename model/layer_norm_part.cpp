#include "model/layer_norm_part.h"

#include "runtime/ops/layer_norm.h"

namespace masformer {

LayerNormPart::LayerNormPart(LayerDeclarer& declare, const std::string& name, Pass last_reader)
    : shards_(declare.shards()), epsilon_(declare.config.epsilon) {
  const std::int64_t hidden = declare.config.hidden;
  const Shape whole{shards_.tokens(), hidden};
  const Shape own{shards_.own().count};
  using enum Pass;
  ParameterDeclarer& parameters = declare.parameters;
  weight_ = parameters.replicated(name + ".weight", {hidden}, Initial::ones);
  bias_ = parameters.replicated(name + ".bias", {hidden}, Initial::zeros);
  if (shards_.shared()) {
    parameters.mark_partial(weight_);
    parameters.mark_partial(bias_);
  }
  BufferDeclarer& buffers = declare.buffers;
  normed_ = buffers.add("normed", whole, forward, last_reader);
  mean_ = buffers.add_fp32("mean", own, forward, backward_input);
  rstd_ = buffers.add_fp32("rstd", own, forward, backward_input);
  normed_gradient_ = buffers.add("normed gradient", whole, backward_input, backward_input);
  if (declare.recompute != Recompute::block) return;
  for (const BufferId id : {normed_, mean_, rstd_}) buffers.mark_recomputed(id);
}

Tensor LayerNormPart::forward(LayerRun& run) const {
  const Tensor whole = run.buffers[normed_];
  layer_norm(run.stream, run.input, run.parameters[weight_].value, run.parameters[bias_].value,
             epsilon_, shards_.own_rows(whole), run.buffers[mean_], run.buffers[rstd_]);
  shards_.gather(run.tensor, whole);
  return whole;
}

void LayerNormPart::backward(LayerRun& run, Tensor residual) const {
  const Tensor whole = run.buffers[normed_gradient_];
  shards_.sum(run.tensor, whole);
  layer_norm_backward(run.stream, {.dy = shards_.own_rows(whole),
                                   .x = run.input,
                                   .weight = run.parameters[weight_].value,
                                   .mean = run.buffers[mean_],
                                   .rstd = run.buffers[rstd_],
                                   .residual = residual,
                                   .dx = run.input_gradient,
                                   .dweight = run.parameters[weight_].gradient,
                                   .dbias = run.parameters[bias_].gradient});
}

}  // namespace masformer
