#include "model/cost/flops.h"

#include <algorithm>
#include <iterator>

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
      known = attention_.insert(known, {flops.span});
    }
    known->per_pair += flops.per_pair;
  }
  visible_ = forward({0});
  dense_ = products_;
  const auto all = static_cast<double>(sequence) * static_cast<double>(sequence);
  for (const Attention& attention : attention_) dense_ += attention.per_pair * all;
}

double SequenceFlops::forward(const std::vector<std::int64_t>& document_starts) const {
  double flops = products_;
  for (const Attention& attention : attention_) {
    std::int64_t pairs = 0;
    for (auto start = document_starts.begin(); start != document_starts.end(); ++start) {
      const auto next = std::next(start);
      const std::int64_t end = next == document_starts.end() ? sequence_ : *next;
      pairs += visible_pairs(attention.span, PositionRange{*start, end});
    }
    flops += attention.per_pair * static_cast<double>(pairs);
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
