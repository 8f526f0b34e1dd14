#include "model/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "parallel/sharding.h"

namespace masformer {
namespace {

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> found;
  for (std::int64_t candidate = 1; candidate <= number && candidate <= 64; ++candidate) {
    if (number % candidate == 0) found.push_back(candidate);
  }
  return found;
}

void check_divides(std::vector<std::string>& found, int tensor, const char* name,
                   std::int64_t extent) {
  if (extent <= 0 || extent % tensor == 0) return;
  found.push_back(fmt::format("parallel.tensor={} does not divide {}={}: pick one of {}", tensor,
                              name, extent, fmt::join(divisors(extent), ", ")));
}

void check_positive(std::vector<std::string>& found, const char* name, std::int64_t value) {
  if (value < 1) found.push_back(fmt::format("{}={} must be at least 1", name, value));
}

}  // namespace

std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh) {
  std::vector<std::string> found;
  check_positive(found, "model.layers", config.layers);
  check_positive(found, "model.hidden", config.hidden);
  check_positive(found, "model.heads", config.heads);
  check_positive(found, "model.ffn", config.ffn);
  check_positive(found, "model.vocab", config.vocab);
  check_positive(found, "model.positions", config.positions);
  if (config.heads > 0 && config.hidden > 0 && config.hidden % config.heads != 0) {
    found.push_back(fmt::format("model.heads={} does not divide model.hidden={}: pick one of {}",
                                config.heads, config.hidden,
                                fmt::join(divisors(config.hidden), ", ")));
  }
  if (std::ssize(config.spans) != config.layers) {
    found.push_back(fmt::format(
        "model.spans={} names {} layers, model.layers={}: write one span a layer, as in full*{}",
        to_string(config.spans), config.spans.size(), config.layers, config.layers));
  }
  check_divides(found, mesh.tensor, "model.heads", config.heads);
  check_divides(found, mesh.tensor, "model.ffn", config.ffn);
  if (mesh.context != 1) {
    found.push_back(
        fmt::format("parallel.context={} is not available yet: leave it at 1", mesh.context));
  }
  return found;
}

std::int64_t parameter_count(const ModelConfig& config) {
  const std::int64_t h = config.hidden;
  const std::int64_t attention = 4 * h * h + h;
  const std::int64_t mlp = 2 * h * config.ffn + config.ffn + h;
  const std::int64_t norms = 4 * h;
  const std::int64_t heads = config.tied ? 1 : 2;
  return config.layers * (attention + mlp + norms) + heads * config.vocab * h +
         config.positions * h + 2 * h;
}

std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks) {
  constexpr std::int64_t floats_in_cache_line = 16;
  return padded(vocab, floats_in_cache_line * tensor_ranks);
}

}  // namespace masformer
