#include "model/cost.h"

#include <algorithm>

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

SequenceFlops::SequenceFlops(const ModelConfig& config, std::int64_t sequence)
    : sequence_(sequence) {
  for (const auto& layer : whole_model(config, sequence).layers) {
    const LayerFlops flops = layer->forward_flops();
    products_ += flops.products;
    if (flops.per_pair == 0) continue;
    auto known = std::ranges::find(attention_, flops.span, &Attention::span);
    if (known == attention_.end()) {
      known = attention_.insert(known, {flops.span, VisiblePairs(flops.span, sequence)});
    }
    known->per_pair += flops.per_pair;
  }
}

double SequenceFlops::forward(PairCount count) const {
  if (count == PairCount::visible) return forward({0});
  double flops = products_;
  const auto all = static_cast<double>(sequence_) * static_cast<double>(sequence_);
  for (const Attention& attention : attention_) flops += attention.per_pair * all;
  return flops;
}

double SequenceFlops::forward(const std::vector<std::int64_t>& document_starts) const {
  double flops = products_;
  for (const Attention& attention : attention_) {
    flops +=
        attention.per_pair * static_cast<double>(attention.pairs.of_documents(document_starts));
  }
  return flops;
}

double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  return SequenceFlops(config, sequence).forward(count);
}

double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  return training_per_forward * forward_flops(config, sequence, count);
}

}  // namespace masformer
