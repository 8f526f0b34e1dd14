#include "model/layers/layer_norm_part.h"

#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/layer_norm.h"

namespace masformer {

LayerNormPart::LayerNormPart(LayerSetup& setup, const LayerNormSpec& spec, const std::string& name,
                             Pass last_reader)
    : shards_(setup.shards()), epsilon_(spec.epsilon) {
  const std::int64_t hidden = setup.config.hidden;
  const Shape whole{shards_.tokens(), hidden};
  const Shape own{shards_.own().count};
  using enum Pass;
  ParameterRegistry& parameters = setup.parameters;
  weight_ = parameters.replicated(name + ".weight", {hidden}, Initial::ones);
  bias_ = parameters.replicated(name + ".bias", {hidden}, Initial::zeros);
  if (shards_.shared()) {
    parameters.mark_partial(weight_);
    parameters.mark_partial(bias_);
  }
  setup.need_workspace(cuda_workspace::layer_norm_backward(shards_.own().count, hidden));
  BufferRegistry& buffers = setup.buffers;
  normed_ = buffers.add("normed", whole, forward, last_reader);
  mean_ = buffers.add_fp32("mean", own, forward, backward_input);
  rstd_ = buffers.add_fp32("rstd", own, forward, backward_input);
  normed_gradient_ = buffers.add("normed gradient", whole, backward_input, backward_input);
  if (setup.recompute != Recompute::block) return;
  for (const BufferId id : {normed_, mean_, rstd_}) buffers.mark_recomputed(id);
}

Tensor LayerNormPart::forward(LayerContext& context) const {
  const Tensor whole = context.buffers[normed_];
  layer_norm(context.stream, context.input, context.parameters[weight_].value,
             context.parameters[bias_].value, epsilon_, shards_.own_rows(whole),
             context.buffers[mean_], context.buffers[rstd_]);
  shards_.gather(context.stream, context.tensor, whole);
  return whole;
}

void LayerNormPart::backward(LayerContext& context, Tensor residual) const {
  const Tensor whole = context.buffers[normed_gradient_];
  shards_.sum(context.stream, context.tensor, whole);
  layer_norm_backward(context.stream, {.dy = shards_.own_rows(whole),
                                       .x = context.input,
                                       .weight = context.parameters[weight_].value,
                                       .mean = context.buffers[mean_],
                                       .rstd = context.buffers[rstd_],
                                       .residual = residual,
                                       .dx = context.input_gradient,
                                       .dweight = context.parameters[weight_].gradient,
                                       .dbias = context.parameters[bias_].gradient});
}

}  // namespace masformer
