#include "model/layers/mlp_layer.h"

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

MlpLayer::MlpLayer(LayerSetup setup, int index)
    : recompute_(setup.recompute),
      norm_(setup, name_of(index, "ln_2"), Pass::backward_weight),
      weight_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.weight")},
                                          {setup.config.ffn, setup.config.hidden},
                                          Initial::normal)),
      bias_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.bias")}, {setup.config.ffn},
                                        Initial::zeros)),
      projection_(setup, name_of(index, "mlp.c_proj"), setup.config.ffn) {
  using enum Pass;
  const Shape inner{setup.tokens(), setup.config.ffn / setup.place.ranks};
  BufferRegistry& buffers = setup.buffers;
  before_gelu_ = buffers.add("before gelu", inner, Pass::forward, backward_input);
  after_gelu_ = buffers.add("after gelu", inner, Pass::forward, backward_weight);
  before_gelu_gradient_ =
      buffers.add("before gelu gradient", inner, backward_input, backward_weight);
  if (recompute_ != Recompute::none) buffers.mark_recomputed(after_gelu_);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(before_gelu_);
}

void MlpLayer::forward(LayerContext& context) const {
  expand(context);
  projection_.forward(context, context.buffers[after_gelu_]);
}

void MlpLayer::recompute(LayerContext& context) const {
  if (recompute_ == Recompute::block) return expand(context);
  gelu(context.stream, context.buffers[before_gelu_], context.buffers[after_gelu_]);
}

void MlpLayer::expand(LayerContext& context) const {
  const Tensor normed = norm_.forward(context);
  const Tensor weight = context.parameters[weight_].value, bias = context.parameters[bias_].value;
  const Tensor before = context.buffers[before_gelu_], after = context.buffers[after_gelu_];
  if (recompute_ == Recompute::selective) {
    // recompute() must get the same bits from what was rounded.
    linear(context.stream, normed, weight, bias, before);
    gelu(context.stream, before, after);
  } else {
    linear_gelu(context.stream, normed, weight, bias, before, after);
  }
}

void MlpLayer::backward_input(LayerContext& context) const {
  const Tensor gradient = context.buffers[before_gelu_gradient_];
  projection_.backward_input_gelu(context, context.buffers[before_gelu_], gradient);
  linear_backward_input(context.stream, gradient, context.parameters[weight_].value,
                        norm_.normed_gradient(context));
  norm_.backward(context, context.output_gradient);
}

void MlpLayer::backward_weight(LayerContext& context) const {
  projection_.backward_weight(context, context.buffers[after_gelu_]);
  linear_backward_weight(context.stream, context.buffers[before_gelu_gradient_],
                         norm_.normed(context), context.parameters[weight_].gradient,
                         context.parameters[bias_].gradient);
}

}  // namespace masformer
