#include "model/layers/mlp_layer.h"

#include <fmt/format.h>

#include "runtime/error.h"
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
      blocked_(setup.ffn_block > 0),
      shards_(setup.shards()),
      tensor_ranks_(setup.place.ranks),
      element_bytes_(static_cast<double>(size_of(setup.buffers.dtype()))),
      tokens_(setup.tokens()),
      block_(blocked_ ? std::min(setup.ffn_block, tokens_) : tokens_),
      width_(spec.ffn / setup.place.ranks),
      hidden_(setup.config.hidden),
      norm_(make_norm(setup, norm, name_of(index, "ln_2"),
                      blocked_ ? Pass::backward_input : Pass::backward_weight)),
      weight_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.weight")},
                                          {spec.ffn, setup.config.hidden}, Initial::normal)),
      bias_(setup.parameters.split_rows({name_of(index, "mlp.c_fc.bias")}, {spec.ffn},
                                        Initial::zeros)),
      projection_(setup, name_of(index, "mlp.c_proj"), spec.ffn) {
  setup.need_workspace(cuda_workspace::column_sums(block_, width_));
  blocked_ ? add_block_buffers(setup) : add_buffers(setup);
}

void MlpLayer::add_buffers(LayerSetup& setup) {
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  const Shape inner{tokens_, width_};
  forward_ = {buffers.add("before gelu", inner, Pass::forward, backward_input),
              buffers.add("after gelu", inner, Pass::forward, backward_weight)};
  backward_ = forward_;
  before_gelu_gradient_ =
      buffers.add("before gelu gradient", inner, backward_input, backward_weight);
  if (recompute_ != Recompute::none) buffers.mark_recomputed(forward_.after_gelu);
  if (recompute_ == Recompute::block) buffers.mark_recomputed(forward_.before_gelu);
}

void MlpLayer::add_block_buffers(LayerSetup& setup) {
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  const Shape inner{block_, width_};
  forward_ = {buffers.add("before gelu of a block", inner, Pass::forward, Pass::forward),
              buffers.add("after gelu of a block", inner, Pass::forward, Pass::forward)};
  backward_ = {buffers.add("before gelu of a block again", inner, backward_input, backward_input),
               buffers.add("after gelu of a block again", inner, backward_input, backward_input)};
  before_gelu_gradient_ =
      buffers.add("before gelu gradient of a block", inner, backward_input, backward_input);
}

// Two products of [T, H] and [H, F/t].
LayerFlops MlpLayer::forward_flops() const {
  return {.products = 4 * static_cast<double>(tokens_) * static_cast<double>(width_) *
                      static_cast<double>(hidden_)};
}

// Of a block of N rows each, T / N times. GELU reads and writes what is F wide.
PassWork MlpLayer::work(Pass pass) const {
  const auto rows = static_cast<double>(block_), width = static_cast<double>(width_);
  const auto own = static_cast<double>(shards_.own().count * hidden_);
  const auto hidden = static_cast<double>(hidden_), tokens = static_cast<double>(tokens_);
  const double count = tokens / rows;
  const MatrixProduct expand{rows, hidden, width, count};
  const int exchanges = tensor_ranks_ > 1 ? 2 : 0;
  const PassWork weights{.products = {{hidden, rows, width, count}, {width, rows, hidden, count}},
                         .streamed_bytes = element_bytes_ * tokens * (hidden + width)};
  switch (pass) {
    case Pass::forward:
      return {.products = {expand, {rows, width, hidden, count}},
              .streamed_bytes = element_bytes_ * (2 * own + tokens * width),
              .exchanges = exchanges};
    case Pass::recompute: {
      if (recompute_ == Recompute::none) return {};
      if (recompute_ == Recompute::selective) {
        return {.streamed_bytes = blocked_ ? 0 : element_bytes_ * 2 * tokens * width};
      }
      PassWork again{.streamed_bytes = element_bytes_ * 2 * own,
                     .exchanges = shards_.shared() ? 1 : 0};
      if (!blocked_) again.products = {expand};
      return again;
    }
    case Pass::backward_input: {
      PassWork back{.products = {{rows, hidden, width, count}, {rows, width, hidden, count}},
                    .streamed_bytes = element_bytes_ * (4 * own + tokens * width),
                    .exchanges = exchanges};
      if (!blocked_) return back;
      back.products.push_back(expand);
      back.products.insert(back.products.end(), weights.products.begin(), weights.products.end());
      back.streamed_bytes += weights.streamed_bytes;
      return back;
    }
    case Pass::backward_weight:
      return blocked_ ? PassWork{} : weights;
  }
  fail("unknown pass {}", static_cast<int>(pass));
}

void MlpLayer::forward(LayerContext& context) const {
  const Tensor normed = norm_->forward(context);
  for_each_block([&](Rows rows) {
    expand(context, normed, rows, forward_);
    projection_.forward_block(context, buffer(context, forward_.after_gelu, rows), rows.begin);
  });
  projection_.finish_forward(context);
}

void MlpLayer::recompute(LayerContext& context) const {
  if (recompute_ == Recompute::block) {
    const Tensor normed = norm_->forward(context);
    if (!blocked_) expand(context, normed, {0, tokens_}, forward_);
  } else if (!blocked_) {
    gelu(context.stream, context.buffers[forward_.before_gelu],
         context.buffers[forward_.after_gelu]);
  }
}

void MlpLayer::expand(LayerContext& context, Tensor normed, Rows rows, const Inner& inner) const {
  const Tensor weight = context.parameters[weight_].value, bias = context.parameters[bias_].value;
  const Tensor before = buffer(context, inner.before_gelu, rows);
  const Tensor after = buffer(context, inner.after_gelu, rows);
  const Tensor input = normed.slice(0, rows.begin, rows.count);
  if (recompute_ == Recompute::selective && !blocked_) {
    // recompute() computes GELU from the rounded `before`, and must get the same bits: the fused
    // op computes it from the unrounded product.
    linear(context.stream, input, weight, bias, before);
    gelu(context.stream, before, after);
  } else {
    linear_gelu(context.stream, input, weight, bias, before, after);
  }
}

void MlpLayer::backward_input(LayerContext& context) const {
  const Tensor normed = norm_->normed(context), normed_gradient = norm_->normed_gradient(context);
  projection_.start_backward(context);
  for_each_block([&](Rows rows) {
    if (blocked_) expand(context, normed, rows, backward_);
    const Tensor gradient = buffer(context, before_gelu_gradient_, rows);
    projection_.backward_input_gelu(context, buffer(context, backward_.before_gelu, rows), gradient,
                                    rows.begin);
    linear_backward_input(context.stream, gradient, context.parameters[weight_].value,
                          normed_gradient.slice(0, rows.begin, rows.count));
    if (blocked_) add_weight_gradients(context, rows);
  });
  norm_->backward(context, context.output_gradient);
}

void MlpLayer::backward_weight(LayerContext& context) const {
  if (!blocked_) add_weight_gradients(context, {0, tokens_});
}

void MlpLayer::add_weight_gradients(LayerContext& context, Rows rows) const {
  projection_.backward_weight(context, buffer(context, backward_.after_gelu, rows), rows.begin);
  linear_backward_weight(context.stream, buffer(context, before_gelu_gradient_, rows),
                         norm_->normed(context).slice(0, rows.begin, rows.count),
                         context.parameters[weight_].gradient, context.parameters[bias_].gradient);
}

}  // namespace masformer
