#include "launch/plan/part_costs.h"

#include "model/stage_spec.h"

namespace masformer {
namespace {

PassSeconds seconds_of_layer(const LayerFlops& flops, std::int64_t sequence) {
  constexpr double per_second = 1e12;
  const double products = flops.products / per_second;
  double attention = 0;
  if (flops.per_pair > 0) {
    const auto pairs = visible_pairs(flops.span, PositionRange{0, sequence});
    attention = flops.per_pair * static_cast<double>(pairs) / per_second;
  }
  return {products + attention, products + 2 * attention, products};
}

}  // namespace

std::vector<PassSeconds> part_seconds(const ModelConfig& config, const Partition& partition,
                                      std::int64_t sequence) {
  const int parts = static_cast<int>(partition.size());
  std::vector<PassSeconds> all;
  for (int part = 0; part < parts; ++part) {
    const StageSpec stage(config, {.pipe = parts}, {.pipe = part}, partition,
                          {.shape = {1, sequence}});
    PassSeconds sum;
    for (const auto& layer : stage.layers) {
      PassSeconds seconds = seconds_of_layer(layer->forward_flops(), sequence);
      const bool is_head = part + 1 == parts && layer == stage.layers.back();
      if (is_head) seconds = {.backward_input = seconds.total()};
      sum += seconds;
    }
    all.push_back(sum);
  }
  return all;
}

std::vector<PartMemory> part_memory(const Partition& partition) {
  std::vector<PartMemory> all;
  for (const LayerRange& blocks : partition) {
    const auto units = static_cast<double>(blocks.size());
    all.push_back({.until_input = units, .until_weight = units});
  }
  return all;
}

}  // namespace masformer
