#include "model/cost/sent_bytes.h"

#include "parallel/context/context_order.h"
#include "parallel/context/exchange_plan.h"

namespace masformer {

double bytes_per_row(const StageSpec& stage, const LayerFlops& flops, ContextFull full,
                     bool backward) {
  const auto element = static_cast<double>(size_of(stage.dtype));
  const auto gradient = static_cast<double>(size_of(DType::f32));
  double bytes = element;
  if (backward && !is_by_heads(full, flops.span, stage.sharding.ranks())) {
    const bool kept = choose_exchange(stage.sharding, flops.span) == Exchange::at_once;
    bytes = kept ? gradient : element + gradient;
  }
  const double width = flops.per_pair / 4;  // of the keys of this rank's heads
  return 2 * width * bytes * static_cast<double>(stage.shape.samples);
}

namespace {

// By all ranks together, each of which rounds down (Communicator::sent_bytes()).
std::int64_t all_reduced_bytes(std::int64_t bytes, std::int64_t ranks) {
  return ranks * (2 * (ranks - 1) * bytes / ranks);
}

}  // namespace

LayerBytes sent_bytes(const StageSpec& stage, int index, ContextFull full) {
  const Layer& layer = *stage.layers[static_cast<std::size_t>(index)];
  const LayerFlops flops = layer.forward_flops();
  int exchanges = 0, forwards = 0, backwards = 0;
  std::int64_t summed = 0;
  for (const auto& [pass, name] : enum_names<Pass>) {
    const PassWork work = layer.work(pass);
    exchanges += work.exchanges;
    forwards += work.attention_forwards;
    backwards += work.attention_backwards;
    for (const TensorSum& sum : work.sums) {
      summed += sum.count * all_reduced_bytes(sum.bytes, stage.tensor_ranks);
    }
  }
  const auto whole =
      static_cast<double>(stage.shape.tokens() * stage.hidden * size_of(stage.dtype));
  LayerBytes bytes{.tensor =
                       exchanges * (stage.tensor_ranks - 1) * whole + static_cast<double>(summed)};
  if (stage.sharding.ranks() == 1 || forwards == 0) return bytes;
  double received = 0;
  for (int rank = 0; rank < stage.sharding.ranks(); ++rank) {
    received += static_cast<double>(work_of(stage.sharding, {flops.span, full}, rank).received);
  }
  bytes.context = received * (forwards * bytes_per_row(stage, flops, full, false) +
                              backwards * bytes_per_row(stage, flops, full, true));
  return bytes;
}

}  // namespace masformer
