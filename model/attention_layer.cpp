#include "model/attention_layer.h"

#include <fmt/format.h>

#include "runtime/ops/attention.h"
#include "runtime/ops/linear.h"

namespace masformer {
namespace {

std::string name_of_block(int index) {
  return fmt::format("transformer.h.{}.", index);
}

ParameterId declare_qkv(const ModelConfig& config, int index, ParameterDeclarer& parameters) {
  const std::string name = name_of_block(index) + "attn.attention.";
  return parameters.split_rows(
      {name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight"},
      {config.hidden, config.hidden}, Initial::normal);
}

}  // namespace

AttentionLayer::AttentionLayer(const ModelConfig& config, int index, const TensorPlace& place,
                               MicroBatchShape shape, ParameterDeclarer& parameters,
                               BufferDeclarer& buffers)
    : span_(config.spans[static_cast<std::size_t>(index)]),
      scale_(config.attention_scale),
      heads_(config.heads / place.ranks),
      head_dim_(config.head_dim()),
      norm_(config, name_of_block(index) + "ln_1", {shape.tokens(), place}, Pass::backward_weight,
            parameters, buffers),
      qkv_weight_(declare_qkv(config, index, parameters)),
      projection_(config, name_of_block(index) + "attn.attention.out_proj", config.hidden,
                  {shape.tokens(), place}, parameters, buffers) {
  using enum Pass;
  const std::int64_t local = heads_ * head_dim_;
  const std::int64_t tokens = shape.tokens();
  const Shape statistics{shape.samples, heads_, shape.sequence};
  qkv_ = buffers.add("qkv", {tokens, 3 * local}, Pass::forward, backward_input);
  attended_ = buffers.add("attended", {tokens, local}, Pass::forward, backward_weight);
  lse_ = buffers.add("lse", statistics, Pass::forward, backward_input);
  attended_gradient_ =
      buffers.add("attended gradient", {tokens, local}, backward_input, backward_input);
  delta_ = buffers.add("delta", statistics, backward_input, backward_input);
  qkv_gradient_ = buffers.add("qkv gradient", {tokens, 3 * local}, backward_input, backward_weight);
}

void AttentionLayer::forward(LayerRun& run) const {
  const Tensor normed = norm_.forward(run);
  const Tensor qkv = run.buffers[qkv_];
  linear(run.stream, normed, run.parameters[qkv_weight_].value, {}, qkv);
  attention(run.stream, {.q = heads_of(run.batch, qkv, 0),
                         .k = heads_of(run.batch, qkv, 1),
                         .v = heads_of(run.batch, qkv, 2),
                         .mask = {span_},
                         .scale = scale_,
                         .out = heads_of(run.batch, run.buffers[attended_]),
                         .lse = run.buffers[lse_]});
  projection_.forward(run, run.buffers[attended_]);
}

void AttentionLayer::backward_input(LayerRun& run) const {
  const Tensor qkv = run.buffers[qkv_];
  const Tensor qkv_gradient = run.buffers[qkv_gradient_];
  projection_.backward_input(run, run.buffers[attended_gradient_]);
  attention_backward(run.stream, {.q = heads_of(run.batch, qkv, 0),
                                  .k = heads_of(run.batch, qkv, 1),
                                  .v = heads_of(run.batch, qkv, 2),
                                  .mask = {span_},
                                  .scale = scale_,
                                  .out = heads_of(run.batch, run.buffers[attended_]),
                                  .lse = run.buffers[lse_],
                                  .dout = heads_of(run.batch, run.buffers[attended_gradient_]),
                                  .delta = run.buffers[delta_],
                                  .dq = heads_of(run.batch, qkv_gradient, 0),
                                  .dk = heads_of(run.batch, qkv_gradient, 1),
                                  .dv = heads_of(run.batch, qkv_gradient, 2)});
  const Tensor normed_gradient = norm_.normed_gradient(run);
  linear_backward_input(run.stream, qkv_gradient, run.parameters[qkv_weight_].value,
                        normed_gradient);
  norm_.backward(run, run.output_gradient);
}

void AttentionLayer::backward_weight(LayerRun& run) const {
  projection_.backward_weight(run, run.buffers[attended_]);
  linear_backward_weight(run.stream, run.buffers[qkv_gradient_], norm_.normed(run),
                         run.parameters[qkv_weight_].gradient, {});
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor fused, int third) const {
  return heads_of(batch, fused.slice(1, third * heads_ * head_dim_, heads_ * head_dim_));
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor attended) const {
  return attended.reshape({batch.samples, batch.sequence, heads_, head_dim_});
}

}  // namespace masformer
