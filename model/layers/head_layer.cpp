#include "model/layers/head_layer.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/ops/linear.h"

namespace masformer {
namespace {

// Tokens per chunk. On a CPU, the logits of a chunk should fit in the caches. On a device every
// chunk reads the whole table from memory and adds to its gradient there, so fewer and larger
// chunks take less time.
constexpr std::int64_t chunk_on_cpu = 256, chunk_on_device = 2048;

VocabularyShard vocabulary_shard(const ModelConfig& config, const TensorPlace& place) {
  const ShardRange part =
      equal_shard_range(padded_vocab(config.vocab, place.ranks), place.ranks, place.rank);
  return {part.begin, std::clamp<std::int64_t>(config.vocab - part.begin, 0, part.count)};
}

}  // namespace

HeadLayer::HeadLayer(LayerSetup setup, ParameterId weight)
    : tokens_(setup.tokens()),
      hidden_(setup.config.hidden),
      shards_(setup.shards()),
      tensor_ranks_(setup.place.ranks),
      element_bytes_(static_cast<double>(size_of(setup.buffers.dtype()))),
      max_chunk_(setup.device == Device::cpu ? chunk_on_cpu : chunk_on_device),
      shard_(vocabulary_shard(setup.config, setup.place)),
      weight_(weight),
      norm_(make_norm(setup, setup.config.norm, "transformer.ln_f", Pass::backward_input)) {
  const std::int64_t rows = std::min(max_chunk_, tokens_);
  const int ranks = setup.place.ranks;
  const std::int64_t columns = padded_vocab(setup.config.vocab, ranks) / ranks;
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  logits_ = buffers.add_fp32("logits", {rows, columns}, backward_input, backward_input);
  statistics_ = buffers.add_fp32("logit statistics", {3, rows}, backward_input, backward_input);
  for (const BufferId id : {logits_, statistics_}) buffers.mark_evaluated(id);
  if (buffers.dtype() != DType::f32) {
    logits_gradient_ =
        buffers.add("logits gradient", {rows, columns}, backward_input, backward_input);
  }
}

// The product of [T, H] with this rank's part of the vocabulary. Padding does not count.
LayerFlops HeadLayer::forward_flops() const {
  return {.products =
              2 * static_cast<double>(tokens_ * shard_.valid) * static_cast<double>(hidden_)};
}

// The largest logits of a chunk are one message; its sums and targets are another.
std::vector<TensorSum> HeadLayer::sums() const {
  if (tensor_ranks_ == 1) return {};
  std::vector<TensorSum> all;
  const auto add = [&](std::int64_t rows, std::int64_t chunks) {
    const std::int64_t bytes = rows * size_of(DType::f32);
    if (rows > 0 && chunks > 0) all.insert(all.end(), {{bytes, chunks}, {2 * bytes, chunks}});
  };
  add(max_chunk_, tokens_ / max_chunk_);
  add(tokens_ % max_chunk_, 1);
  return all;
}

// Training computes the logits and both gradients in backward_input. The softmax reads the logits
// twice, and its backward reads and writes them.
PassWork HeadLayer::work(Pass pass) const {
  const auto tokens = static_cast<double>(tokens_), words = static_cast<double>(shard_.valid);
  const auto hidden = static_cast<double>(hidden_);
  const auto rows = static_cast<double>(std::min(max_chunk_, tokens_));
  const auto own = static_cast<double>(shards_.own().count * hidden_);
  const double count = tokens / rows;
  switch (pass) {
    case Pass::forward:
      return {.streamed_bytes = element_bytes_ * 2 * own, .exchanges = shards_.shared() ? 1 : 0};
    case Pass::backward_input:
      return {.products = {{rows, hidden, words, count},
                           {rows, words, hidden, count},
                           {words, rows, hidden, count}},
              .streamed_bytes = element_bytes_ * 3 * own +
                                4 * static_cast<double>(size_of(DType::f32)) * tokens * words,
              .exchanges = exchanges_of_sum(tensor_ranks_, shards_.shared()),
              .sums = sums()};
    case Pass::recompute:
    case Pass::backward_weight:
      return {};
  }
  fail("unknown pass {}", static_cast<int>(pass));
}

void HeadLayer::forward(LayerContext& context) const {
  norm_->forward(context);
  if (!context.evaluation) return;
  for (std::int64_t begin = 0; begin < tokens_; begin += max_chunk_) {
    Chunk part = chunk(context, begin);
    loss(context, part);
  }
}

void HeadLayer::backward_input(LayerContext& context) const {
  const Parameter& weight = context.parameters[weight_];
  const Tensor normed_gradient = norm_->normed_gradient(context);
  for (std::int64_t begin = 0; begin < tokens_; begin += max_chunk_) {
    Chunk part = chunk(context, begin);
    loss(context, part);
    const Tensor logits_gradient =
        logits_gradient_ ? context.buffers[*logits_gradient_].slice(0, 0, part.labels.dim(0))
                         : part.logits;
    cross_entropy_backward(context.stream, part.logits, shard_, part.labels, part.sum,
                           context.batch.loss_scale, logits_gradient);
    linear_backward_input(context.stream, logits_gradient, weight.value,
                          normed_gradient.slice(0, begin, part.labels.dim(0)));
    linear_backward_weight(context.stream, logits_gradient, part.normed, weight.gradient, {});
  }
  norm_->backward(context, {});
}

HeadLayer::Chunk HeadLayer::chunk(const LayerContext& context, std::int64_t begin) const {
  const std::int64_t count = std::min(max_chunk_, tokens_ - begin);
  const auto row = [&](std::int64_t index) {
    return context.buffers[statistics_]
        .reshape({context.buffers[statistics_].elements()})
        .slice(0, index * count, count);
  };
  return {.normed = norm_->normed(context).slice(0, begin, count),
          .labels = context.batch.labels.slice(0, begin, count),
          .logits = context.buffers[logits_].slice(0, 0, count),
          .max = row(0),
          .sum = row(1),
          .target = row(2)};
}

void HeadLayer::loss(LayerContext& context, Chunk& chunk) const {
  linear(context.stream, chunk.normed, context.parameters[weight_].value, {}, chunk.logits);
  softmax_max(context.stream, chunk.logits, shard_, chunk.max);
  time_wait(context.stream, "tensor ranks",
            [&] { context.tensor.all_reduce(chunk.max, Reduction::max).wait(); });
  softmax_sum(context.stream, chunk.logits, shard_, chunk.labels, chunk.max, chunk.sum,
              chunk.target);
  // The sums and the targets are adjacent in memory, so they travel in one message.
  const std::int64_t count = chunk.sum.dim(0);
  const Tensor both(chunk.sum.raw(), {2 * count}, DType::f32, chunk.sum.device());
  time_wait(context.stream, "tensor ranks",
            [&] { context.tensor.all_reduce(both, Reduction::sum).wait(); });
  cross_entropy(context.stream, chunk.labels, chunk.max, chunk.sum, chunk.target, chunk.sum,
                context.loss);
}

}  // namespace masformer
