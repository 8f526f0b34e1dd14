#include "model/layer_norm_part.h"

#include "runtime/ops/layer_norm.h"

namespace masformer {

LayerNormPart::LayerNormPart(const ModelConfig& config, const std::string& name,
                             std::int64_t tokens, Pass last_reader, ParameterDeclarer& parameters,
                             BufferDeclarer& buffers)
    : epsilon_(config.epsilon),
      weight_(parameters.replicated(name + ".weight", {config.hidden}, Initial::ones)),
      bias_(parameters.replicated(name + ".bias", {config.hidden}, Initial::zeros)),
      normed_(buffers.add("normed", {tokens, config.hidden}, Pass::forward, last_reader)),
      mean_(buffers.add("mean", {tokens}, Pass::forward, Pass::backward_input)),
      rstd_(buffers.add("rstd", {tokens}, Pass::forward, Pass::backward_input)),
      normed_gradient_(buffers.add("normed gradient", {tokens, config.hidden}, Pass::backward_input,
                                   Pass::backward_input)) {}

Tensor LayerNormPart::forward(LayerRun& run) const {
  layer_norm(run.stream, run.input, run.parameters[weight_].value, run.parameters[bias_].value,
             epsilon_, run.buffers[normed_], run.buffers[mean_], run.buffers[rstd_]);
  return run.buffers[normed_];
}

void LayerNormPart::backward(LayerRun& run, Tensor residual) const {
  layer_norm_backward(run.stream, {.dy = run.buffers[normed_gradient_],
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
