#include "model/layer_norm_part.h"

#include "runtime/ops/layer_norm.h"

namespace masformer {

LayerNormPart::LayerNormPart(const ModelConfig& config, const std::string& name,
                             const TokenShards& shards, Pass last_reader,
                             ParameterDeclarer& parameters, BufferDeclarer& buffers)
    : shards_(shards), epsilon_(config.epsilon) {
  const Shape whole{shards.tokens(), config.hidden};
  const Shape own{shards.own().count};
  using enum Pass;
  weight_ = parameters.replicated(name + ".weight", {config.hidden}, Initial::ones);
  bias_ = parameters.replicated(name + ".bias", {config.hidden}, Initial::zeros);
  if (shards.shared()) {
    parameters.mark_partial(weight_);
    parameters.mark_partial(bias_);
  }
  normed_ = buffers.add("normed", whole, forward, last_reader);
  mean_ = buffers.add("mean", own, forward, backward_input);
  rstd_ = buffers.add("rstd", own, forward, backward_input);
  normed_gradient_ = buffers.add("normed gradient", whole, backward_input, backward_input);
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
