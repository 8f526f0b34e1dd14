#include "model/cost.h"

#include "model/stage_spec.h"

namespace masformer {
namespace {

// The specification of the whole model on one rank.
StageSpec whole_model(const ModelConfig& config, std::int64_t sequence) {
  return {config, Mesh{}, Coordinate{}, {{0, config.layers()}}, {.shape = {1, sequence}}};
}

std::int64_t elements(const LogicalTensor& tensor) {
  std::int64_t product = 1;
  for (const std::int64_t extent : tensor.global_shape) product *= extent;
  return product;
}

}  // namespace

std::int64_t parameter_count(const ModelConfig& config) {
  std::int64_t count = 0;
  for (const ParameterSpec& parameter : whole_model(config, 1).parameters) {
    for (const LogicalTensor& tensor : parameter.tensors) count += elements(tensor);
  }
  return count;
}

double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  double flops = 0;
  for (const auto& layer : whole_model(config, sequence).layers)
    flops += layer->forward_flops(count);
  return flops;
}

double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  return 3 * forward_flops(config, sequence, count);
}

}  // namespace masformer
