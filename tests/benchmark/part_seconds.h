// What the parts of a model cost relative to each other, by FLOPs alone: for tables of schedules.
#pragma once

#include <cstdint>
#include <vector>

#include "model/stage_spec.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/pass_seconds.h"

namespace masformer::test {

inline PassSeconds seconds_of_layer(const LayerFlops& flops, std::int64_t sequence) {
  constexpr double per_second = 1e12;
  const double products = flops.products / per_second;
  double attention = 0;
  if (flops.per_pair > 0) {
    const auto pairs = visible_pairs(flops.span, PositionRange{0, sequence});
    attention = flops.per_pair * static_cast<double>(pairs) / per_second;
  }
  return {products + attention, products + 2 * attention, products};
}

// [part]: seconds of one sequence at 1 TFLOP/s. A product takes as many operations for the gradient
// of its input and of its weight as in the forward; attention takes twice as many for its input.
// The head computes logits, loss and both gradients in its backward_input. Recomputation is not
// counted.
inline std::vector<PassSeconds> part_seconds(const ModelConfig& config, const Partition& partition,
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

}  // namespace masformer::test
