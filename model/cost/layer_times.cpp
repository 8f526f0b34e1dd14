#include "model/cost/layer_times.h"

#include <algorithm>

#include "model/cost/sent_bytes.h"
#include "parallel/context/context_order.h"

namespace masformer {
namespace {

// A rank sends its rows to each of the others, or their rows to them.
double exchange_seconds(const LinkFigures& link, int ranks, double bytes) {
  const double others = ranks - 1;
  return others * link.message_seconds + bytes * others / ranks / link.bytes_per_second;
}

}  // namespace

double product_seconds(const DeviceFigures& figures, DType dtype, const MatrixProduct& product) {
  const DTypeFigures& rates = figures.of(dtype);
  const double elements = product.rows * product.inner + product.inner * product.columns +
                          product.rows * product.columns;
  return product.count * (figures.call_seconds +
                          elements * static_cast<double>(size_of(dtype)) / rates.streamed) +
         product.flops() / rates.product;
}

// Per element of a row of keys, a pair takes 4 operations forward and 8 backward. A row of keys and
// values travels in the layers' dtype in both passes, and its gradient in fp32.
double pairs_per_row(const DeviceFigures& figures, DType dtype) {
  const DTypeFigures& rates = figures.of(dtype);
  const double pair = 4 / rates.attention_forward + 8 / rates.attention_backward;
  const auto bytes = static_cast<double>(2 * (2 * size_of(dtype) + size_of(DType::f32)));
  return bytes / figures.within_host.bytes_per_second / pair;
}

PassSeconds EstimatedTimes::of(const StageSpec& stage, int index) const {
  const Layer& layer = *stage.layers[static_cast<std::size_t>(index)];
  return {.forward = seconds(stage, layer, Pass::forward),
          .backward_input =
              seconds(stage, layer, Pass::recompute) + seconds(stage, layer, Pass::backward_input),
          .backward_weight = seconds(stage, layer, Pass::backward_weight)};
}

double EstimatedTimes::seconds(const StageSpec& stage, const Layer& layer, Pass pass) const {
  const PassWork work = layer.work(pass);
  const LayerFlops flops = layer.forward_flops();
  double sum = work.streamed_bytes / figures_->of(stage.dtype).streamed;
  for (const MatrixProduct& product : work.products) {
    sum += product_seconds(*figures_, stage.dtype, product);
  }
  sum += work.attention_forwards * attention(stage, flops, false);
  sum += work.attention_backwards * attention(stage, flops, true);
  const auto whole =
      static_cast<double>(stage.shape.tokens() * stage.hidden * size_of(stage.dtype));
  const LinkFigures& link = figures_->link_over(stage.tensor_ranks);
  sum += work.exchanges * exchange_seconds(link, stage.tensor_ranks, whole);
  for (const TensorSum& each : work.sums) {  // an all-reduce is two exchanges
    const auto bytes = static_cast<double>(each.bytes);
    sum += 2 * static_cast<double>(each.count) * exchange_seconds(link, stage.tensor_ranks, bytes);
  }
  return sum;
}

// On the context rank that takes longest.
double EstimatedTimes::attention(const StageSpec& stage, const LayerFlops& flops,
                                 bool backward) const {
  const DTypeFigures& rates = figures_->of(stage.dtype);
  const double rate = backward ? rates.attention_backward : rates.attention_forward;
  const double hidden = backward ? figures_->hidden_keys_backward : figures_->hidden_keys_forward;
  const double samples = static_cast<double>(stage.shape.samples);
  const int ranks = stage.sharding.ranks();
  const LinkFigures& link = figures_->link_over(stage.tensor_ranks * ranks);
  const double row_bytes = ranks > 1 ? bytes_per_row(stage, flops, full_, backward) : 0;
  double slowest = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const ContextWork work = work_of(stage.sharding, {flops.span, full_}, rank);
    const auto queries = static_cast<double>(stage.sharding.rows());
    const double pairs = static_cast<double>(work.pairs) + hidden * queries;
    double seconds = samples * flops.per_pair * (backward ? 2 : 1) * pairs / rate;
    if (ranks > 1) {
      const double bytes = static_cast<double>(work.received) * row_bytes;
      seconds += (ranks - 1) * link.message_seconds + bytes / link.bytes_per_second;
    }
    slowest = std::max(slowest, seconds);
  }
  return figures_->call_seconds + slowest;
}

}  // namespace masformer
