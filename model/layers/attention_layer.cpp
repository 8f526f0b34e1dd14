#include "model/layers/attention_layer.h"

#include <fmt/format.h>

#include "runtime/ops/attention/attention.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/linear.h"

namespace masformer {
namespace {

std::string name_of_block(int index) {
  return fmt::format("transformer.h.{}.", index);
}

ParameterId add_qkv(LayerSetup& setup, int index) {
  const std::string name = name_of_block(index) + "attn.attention.";
  const std::int64_t hidden = setup.config.hidden;
  return setup.parameters.split_rows(
      {name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight"}, {hidden, hidden},
      Initial::normal);
}

}  // namespace

AttentionLayer::AttentionLayer(LayerSetup setup, const AttentionSpec& spec, const NormSpec& norm,
                               int index)
    : recompute_(setup.recompute),
      shape_(setup.shape),
      hidden_(setup.config.hidden),
      span_(spec.span),
      scale_(spec.scale),
      heads_(spec.heads / setup.place.ranks),
      head_dim_(setup.config.hidden / spec.heads),
      norm_(make_norm(setup, norm, name_of_block(index) + "ln_1", Pass::backward_weight)),
      qkv_weight_(add_qkv(setup, index)),
      projection_(setup, name_of_block(index) + "attn.attention.out_proj", setup.config.hidden) {
  using enum Pass;
  const std::int64_t local = heads_ * head_dim_;
  const std::int64_t tokens = setup.tokens();
  const Shape statistics{setup.shape.samples, heads_, setup.shape.sequence};
  BufferRegistry& buffers = setup.buffers;
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
  // Own kernels need no working memory.
  if (cuda::cudnn_may_take(buffers.dtype(), head_dim_, span_)) {
    setup.need_workspace(cuda_workspace::attention_backward(
        {setup.shape.samples, setup.shape.sequence, heads_, head_dim_}, setup.deterministic));
  }
  if (recompute_ == Recompute::none) return;
  for (const BufferId id : {attended_, lse_}) buffers.mark_recomputed(id);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(qkv_);
}

std::string AttentionLayer::kind() const {
  return "attention " + to_string(span_);
}

// Four products [T, H] x [H, H/t], and two multiply-adds per pair and element of a head.
double AttentionLayer::forward_flops(PairCount count) const {
  const auto sequence = static_cast<double>(shape_.sequence);
  const double pairs = count == PairCount::dense
                           ? sequence * sequence
                           : static_cast<double>(visible_pairs(span_, shape_.sequence));
  const auto width = static_cast<double>(heads_ * head_dim_);
  const double products = 4 * sequence * static_cast<double>(hidden_) * width;
  return 2 * static_cast<double>(shape_.samples) * (products + 2 * width * pairs);
}

void AttentionLayer::forward(LayerContext& context) const {
  const Tensor normed = norm_->forward(context);
  linear(context.stream, normed, context.parameters[qkv_weight_].value, {}, context.buffers[qkv_]);
  attend(context);
  projection_.forward(context, context.buffers[attended_]);
}

void AttentionLayer::recompute(LayerContext& context) const {
  // The MLP of the same block needs the output again.
  if (recompute_ == Recompute::block) return forward(context);
  attend(context);
}

void AttentionLayer::attend(LayerContext& context) const {
  const Tensor qkv = context.buffers[qkv_];
  attention(context.stream, {.q = heads_of(context.batch, qkv, 0),
                             .k = heads_of(context.batch, qkv, 1),
                             .v = heads_of(context.batch, qkv, 2),
                             .mask = {span_},
                             .scale = scale_,
                             .out = heads_of(context.batch, context.buffers[attended_]),
                             .lse = context.buffers[lse_]});
}

void AttentionLayer::backward_input(LayerContext& context) const {
  const Tensor qkv = context.buffers[qkv_];
  const Tensor qkv_gradient = context.buffers[qkv_gradient_];
  projection_.backward_input(context, context.buffers[attended_gradient_]);
  attention_backward(context.stream,
                     {.q = heads_of(context.batch, qkv, 0),
                      .k = heads_of(context.batch, qkv, 1),
                      .v = heads_of(context.batch, qkv, 2),
                      .mask = {span_},
                      .scale = scale_,
                      .out = heads_of(context.batch, context.buffers[attended_]),
                      .lse = context.buffers[lse_],
                      .dout = heads_of(context.batch, context.buffers[attended_gradient_]),
                      .delta = context.buffers[delta_],
                      .dq = heads_of(context.batch, qkv_gradient, 0),
                      .dk = heads_of(context.batch, qkv_gradient, 1),
                      .dv = heads_of(context.batch, qkv_gradient, 2),
                      .dq_sum = q_gradient_sum(context)});
  const Tensor normed_gradient = norm_->normed_gradient(context);
  linear_backward_input(context.stream, qkv_gradient, context.parameters[qkv_weight_].value,
                        normed_gradient);
  norm_->backward(context, context.output_gradient);
}

void AttentionLayer::backward_weight(LayerContext& context) const {
  projection_.backward_weight(context, context.buffers[attended_]);
  linear_backward_weight(context.stream, context.buffers[qkv_gradient_], norm_->normed(context),
                         context.parameters[qkv_weight_].gradient, {});
}

Tensor AttentionLayer::q_gradient_sum(const LayerContext& context) const {
  return q_gradient_sum_ ? heads_of(context.batch, context.buffers[*q_gradient_sum_]) : Tensor();
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor fused, int third) const {
  return heads_of(batch, fused.slice(1, third * heads_ * head_dim_, heads_ * head_dim_));
}

Tensor AttentionLayer::heads_of(const MicroBatch& batch, Tensor attended) const {
  return attended.reshape({batch.samples, batch.sequence, heads_, head_dim_});
}

}  // namespace masformer
