#include "model/attention_layer.h"

#include <fmt/format.h>

#include "runtime/ops/attention.h"
#include "runtime/ops/linear.h"

namespace masformer {
namespace {

std::string name_of_block(int index) {
  return fmt::format("transformer.h.{}.", index);
}

ParameterId declare_qkv(LayerDeclarer& declare, int index) {
  const std::string name = name_of_block(index) + "attn.attention.";
  const std::int64_t hidden = declare.config.hidden;
  return declare.parameters.split_rows(
      {name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight"}, {hidden, hidden},
      Initial::normal);
}

}  // namespace

AttentionLayer::AttentionLayer(LayerDeclarer declare, int index)
    : recompute_(declare.recompute),
      span_(declare.config.spans[static_cast<std::size_t>(index)]),
      scale_(declare.config.attention_scale),
      heads_(declare.config.heads / declare.place.ranks),
      head_dim_(declare.config.head_dim()),
      norm_(declare, name_of_block(index) + "ln_1", Pass::backward_weight),
      qkv_weight_(declare_qkv(declare, index)),
      projection_(declare, name_of_block(index) + "attn.attention.out_proj",
                  declare.config.hidden) {
  using enum Pass;
  const std::int64_t local = heads_ * head_dim_;
  const std::int64_t tokens = declare.tokens();
  const Shape statistics{declare.shape.samples, heads_, declare.shape.sequence};
  BufferDeclarer& buffers = declare.buffers;
  qkv_ = buffers.add("qkv", {tokens, 3 * local}, Pass::forward, backward_input);
  attended_ = buffers.add("attended", {tokens, local}, Pass::forward, backward_weight);
  lse_ = buffers.add_fp32("lse", statistics, Pass::forward, backward_input);
  attended_gradient_ =
      buffers.add("attended gradient", {tokens, local}, backward_input, backward_input);
  delta_ = buffers.add_fp32("delta", statistics, backward_input, backward_input);
  if (buffers.dtype() != DType::f32) {
    q_gradient_sum_ =
        buffers.add_fp32("q gradient sum", {tokens, local}, backward_input, backward_input);
  }
  qkv_gradient_ = buffers.add("qkv gradient", {tokens, 3 * local}, backward_input, backward_weight);
  if (recompute_ == Recompute::none) return;
  for (const BufferId id : {attended_, lse_}) buffers.mark_recomputed(id);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(qkv_);
}

void AttentionLayer::forward(LayerRun& run) const {
  const Tensor normed = norm_.forward(run);
  linear(run.stream, normed, run.parameters[qkv_weight_].value, {}, run.buffers[qkv_]);
  attend(run);
  projection_.forward(run, run.buffers[attended_]);
}

void AttentionLayer::recompute(LayerRun& run) const {
  // The MLP of the same block needs the output again.
  if (recompute_ == Recompute::block) return forward(run);
  attend(run);
}

void AttentionLayer::attend(LayerRun& run) const {
  const Tensor qkv = run.buffers[qkv_];
  attention(run.stream, {.q = heads_of(run.batch, qkv, 0),
                         .k = heads_of(run.batch, qkv, 1),
                         .v = heads_of(run.batch, qkv, 2),
                         .mask = {span_},
                         .scale = scale_,
                         .out = heads_of(run.batch, run.buffers[attended_]),
                         .lse = run.buffers[lse_]});
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
                                  .dv = heads_of(run.batch, qkv_gradient, 2),
                                  .dq_sum = q_gradient_sum(run)});
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

Tensor AttentionLayer::q_gradient_sum(const LayerRun& run) const {
  return q_gradient_sum_ ? heads_of(run.batch, run.buffers[*q_gradient_sum_]) : Tensor();
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor fused, int third) const {
  return heads_of(batch, fused.slice(1, third * heads_ * head_dim_, heads_ * head_dim_));
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor attended) const {
  return attended.reshape({batch.samples, batch.sequence, heads_, head_dim_});
}

}  // namespace masformer
