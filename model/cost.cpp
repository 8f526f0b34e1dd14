#include "model/cost.h"

namespace masformer {

double forward_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  const auto h = static_cast<double>(config.hidden);
  const auto s = static_cast<double>(sequence);
  const double block = 2 * s * (4 * h * h + 2 * h * static_cast<double>(config.ffn));
  const double head = 2 * s * h * static_cast<double>(config.vocab);
  double pairs = 0;
  for (const Span& span : config.spans) {
    pairs += count == PairCount::dense ? s * s : static_cast<double>(visible_pairs(span, sequence));
  }
  return config.layers * block + 4 * h * pairs + head;
}

double training_flops(const ModelConfig& config, std::int64_t sequence, PairCount count) {
  return 3 * forward_flops(config, sequence, count);
}

}  // namespace masformer
