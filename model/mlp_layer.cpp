#include "model/mlp_layer.h"

#include <fmt/format.h>

#include "runtime/ops/elementwise.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/linear.h"

namespace masformer {

MlpLayer::MlpLayer(const ModelConfig& config, int index, int tensor_ranks, MicroBatchShape shape,
                   ParameterDeclarer& parameters, BufferDeclarer& buffers)
    : norm_(config, fmt::format("transformer.h.{}.ln_2", index), shape.tokens(),
            Pass::backward_weight, parameters, buffers) {
  const std::string name = fmt::format("transformer.h.{}.mlp.", index);
  const std::int64_t h = config.hidden;
  in_weight_ = parameters.split_rows({name + "c_fc.weight"}, {config.ffn, h}, Initial::normal);
  in_bias_ = parameters.split_rows({name + "c_fc.bias"}, {config.ffn}, Initial::zeros);
  out_weight_ = parameters.split_columns(name + "c_proj.weight", {h, config.ffn});
  out_bias_ = parameters.replicated(name + "c_proj.bias", {h}, Initial::zeros);

  using enum Pass;
  const Shape inner{shape.tokens(), config.ffn / tensor_ranks};
  before_gelu_ = buffers.add("before gelu", inner, forward, backward_input);
  after_gelu_ = buffers.add("after gelu", inner, forward, backward_weight);
  before_gelu_gradient_ =
      buffers.add("before gelu gradient", inner, backward_input, backward_weight);
}

void MlpLayer::forward(LayerRun& run) const {
  const Tensor normed = norm_.forward(run);
  linear(run.stream, normed, run.parameters[in_weight_].value, run.parameters[in_bias_].value,
         run.buffers[before_gelu_]);
  gelu(run.stream, run.buffers[before_gelu_], run.buffers[after_gelu_]);
  linear(run.stream, run.buffers[after_gelu_], run.parameters[out_weight_].value, {}, run.output);
  run.tensor.all_reduce(run.output, Reduction::sum).wait();
  add_residual(run.stream, run.input, run.parameters[out_bias_].value, run.output);
}

void MlpLayer::backward_input(LayerRun& run) const {
  const Tensor gradient = run.buffers[before_gelu_gradient_];
  linear_backward_input(run.stream, run.output_gradient, run.parameters[out_weight_].value,
                        gradient);
  gelu_backward(run.stream, run.buffers[before_gelu_], gradient, gradient);
  const Tensor normed_gradient = norm_.normed_gradient(run);
  linear_backward_input(run.stream, gradient, run.parameters[in_weight_].value, normed_gradient);
  run.tensor.all_reduce(normed_gradient, Reduction::sum).wait();
  norm_.backward(run, run.output_gradient);
}

void MlpLayer::backward_weight(LayerRun& run) const {
  linear_backward_weight(run.stream, run.output_gradient, run.buffers[after_gelu_],
                         run.parameters[out_weight_].gradient, run.parameters[out_bias_].gradient);
  linear_backward_weight(run.stream, run.buffers[before_gelu_gradient_], norm_.normed(run),
                         run.parameters[in_weight_].gradient, run.parameters[in_bias_].gradient);
}

}  // namespace masformer
