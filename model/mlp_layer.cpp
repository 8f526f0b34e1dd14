#include "model/mlp_layer.h"

#include <fmt/format.h>

#include "runtime/ops/gelu.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"

namespace masformer {
namespace {

std::string name_of(int index, const char* part) {
  return fmt::format("transformer.h.{}.{}", index, part);
}

}  // namespace

MlpLayer::MlpLayer(LayerDeclarer declare, int index)
    : recompute_(declare.recompute),
      norm_(declare, name_of(index, "ln_2"), Pass::backward_weight),
      weight_(declare.parameters.split_rows({name_of(index, "mlp.c_fc.weight")},
                                            {declare.config.ffn, declare.config.hidden},
                                            Initial::normal)),
      bias_(declare.parameters.split_rows({name_of(index, "mlp.c_fc.bias")}, {declare.config.ffn},
                                          Initial::zeros)),
      projection_(declare, name_of(index, "mlp.c_proj"), declare.config.ffn) {
  using enum Pass;
  const Shape inner{declare.tokens(), declare.config.ffn / declare.place.ranks};
  BufferDeclarer& buffers = declare.buffers;
  before_gelu_ = buffers.add("before gelu", inner, Pass::forward, backward_input);
  after_gelu_ = buffers.add("after gelu", inner, Pass::forward, backward_weight);
  before_gelu_gradient_ =
      buffers.add("before gelu gradient", inner, backward_input, backward_weight);
  if (recompute_ != Recompute::none) buffers.mark_recomputed(after_gelu_);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(before_gelu_);
}

void MlpLayer::forward(LayerRun& run) const {
  expand(run);
  projection_.forward(run, run.buffers[after_gelu_]);
}

void MlpLayer::recompute(LayerRun& run) const {
  if (recompute_ == Recompute::block) return expand(run);
  gelu(run.stream, run.buffers[before_gelu_], run.buffers[after_gelu_]);
}

void MlpLayer::expand(LayerRun& run) const {
  const Tensor normed = norm_.forward(run);
  const Tensor weight = run.parameters[weight_].value, bias = run.parameters[bias_].value;
  const Tensor before = run.buffers[before_gelu_], after = run.buffers[after_gelu_];
  if (recompute_ == Recompute::selective) {
    // recompute() must get the same bits from what was rounded.
    linear(run.stream, normed, weight, bias, before);
    gelu(run.stream, before, after);
  } else {
    linear_gelu(run.stream, normed, weight, bias, before, after);
  }
}

void MlpLayer::backward_input(LayerRun& run) const {
  const Tensor gradient = run.buffers[before_gelu_gradient_];
  projection_.backward_input_gelu(run, run.buffers[before_gelu_], gradient);
  linear_backward_input(run.stream, gradient, run.parameters[weight_].value,
                        norm_.normed_gradient(run));
  norm_.backward(run, run.output_gradient);
}

void MlpLayer::backward_weight(LayerRun& run) const {
  projection_.backward_weight(run, run.buffers[after_gelu_]);
  linear_backward_weight(run.stream, run.buffers[before_gelu_gradient_], norm_.normed(run),
                         run.parameters[weight_].gradient, run.parameters[bias_].gradient);
}

}  // namespace masformer
