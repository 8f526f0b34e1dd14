#include "model/layers/mlp_layer.h"

#include <fmt/format.h>

#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"

namespace masformer {
namespace {

std::string name_of(int index, const char* part) {
  return fmt::format("transformer.h.{}.{}", index, part);
}

}  // namespace

MlpLayer::MlpLayer(LayerSetup setup, const GeluMlpSpec& spec, const NormSpec& norm, int index)
    : recompute_(setup.recompute),
      norm_(make_norm(setup, norm, name_of(index, "ln_2"), Pass::backward_weight)),
      weight_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.weight")},
                                          {spec.ffn, setup.config.hidden}, Initial::normal)),
      bias_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.bias")}, {spec.ffn},
                                        Initial::zeros)),
      projection_(setup, name_of(index, "mlp.c_proj"), spec.ffn) {
  using enum Pass;
  const Shape inner{setup.tokens(), spec.ffn / setup.place.ranks};
  inner_ = inner;
  hidden_ = setup.config.hidden;
  setup.need_workspace(cuda_workspace::column_sums(inner[0], inner[1]));
  BufferRegistry& buffers = setup.buffers;
  before_gelu_ = buffers.add("before gelu", inner, Pass::forward, backward_input);
  after_gelu_ = buffers.add("after gelu", inner, Pass::forward, backward_weight);
  before_gelu_gradient_ =
      buffers.add("before gelu gradient", inner, backward_input, backward_weight);
  if (recompute_ != Recompute::none) buffers.mark_recomputed(after_gelu_);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(before_gelu_);
}

// Two products of [T, H] and [H, F/t].
LayerFlops MlpLayer::forward_flops() const {
  return {.products = 4 * static_cast<double>(inner_.elements()) * static_cast<double>(hidden_)};
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
  const Tensor normed = norm_->forward(context);
  const Tensor weight = context.parameters[weight_].value, bias = context.parameters[bias_].value;
  const Tensor before = context.buffers[before_gelu_], after = context.buffers[after_gelu_];
  if (recompute_ == Recompute::selective) {
    // recompute() computes GELU from the rounded `before`, and must get the same bits: the fused
    // op computes it from the unrounded product.
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
                        norm_->normed_gradient(context));
  norm_->backward(context, context.output_gradient);
}

void MlpLayer::backward_weight(LayerContext& context) const {
  projection_.backward_weight(context, context.buffers[after_gelu_]);
  linear_backward_weight(context.stream, context.buffers[before_gelu_gradient_],
                         norm_->normed(context), context.parameters[weight_].gradient,
                         context.parameters[bias_].gradient);
}

}  // namespace masformer
