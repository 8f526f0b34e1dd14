#include "model/layers/attention_layer.h"

#include <fmt/format.h>

#include "runtime/error.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/rotary.h"

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
      shards_(setup.shards()),
      tensor_ranks_(setup.place.ranks),
      element_bytes_(static_cast<double>(size_of(setup.buffers.dtype()))),
      hidden_(setup.config.hidden),
      geometry_{.span = spec.span,
                .scale = spec.scale,
                .heads = spec.heads / setup.place.ranks,
                .key_heads = spec.heads / setup.place.ranks,
                .head_dim = setup.config.hidden / spec.heads},
      rotary_theta_(spec.rotary_theta),
      norm_(make_norm(setup, norm, name_of_block(index) + "ln_1", Pass::backward_weight)),
      qkv_weight_(add_qkv(setup, index)),
      attention_(make_sequence_attention(setup, geometry_)),
      projection_(setup, name_of_block(index) + "attn.attention.out_proj", setup.config.hidden) {
  using enum Pass;
  const std::int64_t width = geometry_.width();
  const std::int64_t tokens = setup.tokens();
  const Shape statistics{setup.shape.samples, geometry_.heads, setup.shape.sequence};
  BufferRegistry& buffers = setup.buffers;
  qkv_ = buffers.add("qkv", {tokens, 3 * width}, Pass::forward, attention_->last_reader_of_qkv());
  attended_ = buffers.add("attended", {tokens, width}, Pass::forward, backward_weight);
  lse_ = buffers.add_fp32("lse", statistics, Pass::forward, backward_input);
  attended_gradient_ =
      buffers.add("attended gradient", {tokens, width}, backward_input, backward_input);
  delta_ = buffers.add_fp32("delta", statistics, backward_input, backward_input);
  if (buffers.dtype() != DType::f32) {
    q_gradient_sum_ =
        buffers.add_fp32("q gradient sum", {tokens, width}, backward_input, backward_input);
  }
  qkv_gradient_ = buffers.add("qkv gradient", {tokens, 3 * width}, backward_input, backward_weight);
  // The built-in kernels need no working memory. They take all calls with documents, and all if
  // context ranks add gradients in fp32, which cuDNN does not write. HeadAttention asks for its
  // own.
  if (setup.context.sharding.ranks() == 1 && !setup.document_mask &&
      cuda::cudnn_may_take(buffers.dtype(), geometry_.head_dim, geometry_.span)) {
    setup.need_workspace(cuda_workspace::attention_backward(
        {setup.shape.samples, setup.shape.sequence, geometry_.heads, geometry_.key_heads,
         geometry_.head_dim},
        setup.deterministic));
  }
  if (recompute_ == Recompute::none) return;
  for (const BufferId id : {attended_, lse_}) buffers.mark_recomputed(id);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(qkv_);
}

std::string AttentionLayer::kind() const {
  return "attention " + to_string(geometry_.span);
}

// Four products [T, H] x [H, H/t], and two multiply-adds per pair and element of a head.
LayerFlops AttentionLayer::forward_flops() const {
  const auto tokens = static_cast<double>(shape_.tokens());
  const auto width = static_cast<double>(geometry_.width());
  return {.products = 8 * tokens * static_cast<double>(hidden_) * width,
          .per_pair = 4 * width,
          .span = geometry_.span};
}

// The norm reads and writes the own rows; rotation reads and writes q and k; delta reads the output
// and its gradient.
PassWork AttentionLayer::work(Pass pass) const {
  const auto tokens = static_cast<double>(shape_.tokens());
  const auto own = static_cast<double>(shards_.own().count * hidden_);
  const auto hidden = static_cast<double>(hidden_), width = static_cast<double>(geometry_.width());
  const double rotated = rotary_theta_ ? 4 * tokens * width : 0;
  const int exchanges = tensor_ranks_ > 1 ? 2 : 0;
  switch (pass) {
    case Pass::forward:
      return {.products = {{tokens, hidden, 3 * width}, {tokens, width, hidden}},
              .attention_forwards = 1,
              .streamed_bytes = element_bytes_ * (2 * own + rotated),
              .exchanges = exchanges};
    case Pass::recompute:
      if (recompute_ == Recompute::none) return {};
      if (recompute_ == Recompute::block) return work(Pass::forward);
      return {.attention_forwards = 1};
    case Pass::backward_input:
      return {.products = {{tokens, hidden, width}, {tokens, 3 * width, hidden}},
              .attention_backwards = 1,
              .streamed_bytes = element_bytes_ * (4 * own + 2 * tokens * width + rotated),
              .exchanges = exchanges};
    case Pass::backward_weight:
      return {.products = {{hidden, tokens, width}, {3 * width, tokens, hidden}},
              .streamed_bytes = element_bytes_ * tokens * hidden};
  }
  fail("unknown pass {}", static_cast<int>(pass));
}

void AttentionLayer::forward(LayerContext& context) const {
  const Tensor normed = norm_->forward(context);
  linear(context.stream, normed, context.parameters[qkv_weight_].value, {}, context.buffers[qkv_]);
  rotate(context, context.buffers[qkv_], false);
  attend(context);
  projection_.forward(context, context.buffers[attended_]);
}

void AttentionLayer::recompute(LayerContext& context) const {
  // The MLP of the same block needs the output again.
  if (recompute_ == Recompute::block) return forward(context);
  attention_->recompute(context, by_sample(context.buffers[qkv_]),
                        by_sample(context.buffers[attended_]), context.buffers[lse_]);
}

void AttentionLayer::rotate(LayerContext& context, const Tensor& qkv, bool inverse) const {
  if (!rotary_theta_) return;
  rotary(context.stream, qkv.slice(1, 0, 2 * geometry_.width()), context.batch.positions,
         {geometry_.head_dim, *rotary_theta_, inverse});
}

void AttentionLayer::attend(LayerContext& context) const {
  attention_->forward(context, by_sample(context.buffers[qkv_]),
                      by_sample(context.buffers[attended_]), context.buffers[lse_]);
}

void AttentionLayer::backward_input(LayerContext& context) const {
  const Tensor qkv_gradient = context.buffers[qkv_gradient_];
  projection_.start_backward(context);
  projection_.backward_input(context, context.buffers[attended_gradient_]);
  const Tensor q_sum = q_gradient_sum_ ? by_sample(context.buffers[*q_gradient_sum_]) : Tensor();
  attention_->backward(context, {.qkv = by_sample(context.buffers[qkv_]),
                                 .out = by_sample(context.buffers[attended_]),
                                 .lse = context.buffers[lse_],
                                 .dout = by_sample(context.buffers[attended_gradient_]),
                                 .delta = context.buffers[delta_],
                                 .dqkv = by_sample(qkv_gradient),
                                 .dq_sum = q_sum});
  rotate(context, qkv_gradient, true);
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

Tensor AttentionLayer::by_sample(Tensor rows) const {
  return rows.reshape({shape_.samples, shape_.sequence, rows.dim(1)});
}

}  // namespace masformer
