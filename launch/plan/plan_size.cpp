#include "launch/plan/plan_size.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <optional>
#include <variant>

#include <fmt/format.h>

#include "launch/options/limits.h"

namespace masformer {
namespace {

// The product of numbers that are at least 0; nothing if it exceeds 64 bits.
std::optional<std::int64_t> product(std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result)) return std::nullopt;
  }
  return result;
}

bool exceeds(std::initializer_list<std::int64_t> factors, std::int64_t limit) {
  return product(factors).value_or(std::numeric_limits<std::int64_t>::max()) > limit;
}

// An overload per alternative of MixerSpec and MlpSpec.
std::int64_t heads_of(const AttentionSpec& attention) {
  return attention.heads;
}
std::int64_t ffn_of(const GeluMlpSpec& mlp) {
  return mlp.ffn;
}

std::int64_t most_heads(const ModelConfig& model) {
  std::int64_t most = 0;
  for (const BlockSpec& block : model.blocks) {
    most =
        std::max(most, std::visit([](const auto& mixer) { return heads_of(mixer); }, block.mixer));
  }
  return most;
}

std::int64_t widest_ffn(const ModelConfig& model) {
  std::int64_t widest = 0;
  for (const BlockSpec& block : model.blocks) {
    widest = std::max(widest, std::visit([](const auto& mlp) { return ffn_of(mlp); }, block.mlp));
  }
  return widest;
}

void check_model(const ModelConfig& model, std::vector<std::string>& found) {
  const auto check = [&](const char* name, std::int64_t value, std::int64_t limit) {
    if (value <= limit) return;
    found.push_back(fmt::format("{}={} is too large: at most {}", name, value, limit));
  };
  if (model.layers() > limits::layers) {
    found.push_back(
        fmt::format("model.spans names {} layers: at most {}", model.layers(), limits::layers));
  }
  check("model.hidden", model.hidden, limits::width);
  check("model.heads", most_heads(model), limits::width);
  check("model.ffn", widest_ffn(model), 4 * limits::width);  // with the default of model.ffn=0
  check("model.vocab", model.vocab, limits::tokens);
  check("model.positions", model.positions, limits::tokens);
}

void check_tokens(const Options& options, std::vector<std::string>& found) {
  const auto& t = options.train;
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (exceeds({t.micro_batch, t.sequence}, most)) {
    found.push_back(
        fmt::format("train.micro_batch={} x train.sequence={} is more than {} tokens: lower one of "
                    "them",
                    t.micro_batch, t.sequence, most));
  }
  if (!product({t.steps, t.global_batch, t.sequence})) {
    found.push_back(fmt::format(
        "train.steps={} x train.global_batch={} x train.sequence={} is more than {} tokens: lower "
        "train.steps",
        t.steps, t.global_batch, t.sequence, std::numeric_limits<std::int64_t>::max()));
  }
}

// Checks the memory that grows with micro-batches or with pairs of tokens. A block has fewer than
// 32 buffers; the widest is as wide as hidden and ffn together, with 4 bytes per element.
void check_memory(const Options& options, const ModelConfig& model, std::int64_t micro_batches,
                  std::vector<std::string>& found) {
  constexpr std::int64_t exbibyte = std::int64_t{1} << 60, bytes_per_column = 32 * 4;
  const auto& t = options.train;
  if (exceeds({bytes_per_column, t.micro_batch, t.sequence, model.hidden + widest_ffn(model),
               model.layers(), micro_batches},
              exbibyte)) {
    found.push_back(fmt::format(
        "{} micro-batches of train.micro_batch={} x train.sequence={} tokens in {} layers of width "
        "{} take more than 1 EiB of activations: lower one of them",
        micro_batches, t.micro_batch, t.sequence, model.layers(), model.hidden));
  }
  if (options.runtime.deterministic &&
      exceeds({4, t.micro_batch, t.sequence, t.sequence, most_heads(model)}, exbibyte)) {
    found.push_back(
        fmt::format("runtime.deterministic=true takes more than 1 EiB for the pairs of tokens of "
                    "train.micro_batch={} x train.sequence={} in {} heads: lower one of them",
                    t.micro_batch, t.sequence, most_heads(model)));
  }
}

}  // namespace

std::vector<std::string> size_violations(const Options& options, const ModelConfig& model,
                                         Purpose purpose, std::int64_t micro_batches) {
  std::vector<std::string> found;
  check_model(model, found);
  check_tokens(options, found);
  if (!found.empty()) return found;  // the checks below would only report consequences
  if (exceeds({model.layers(), micro_batches}, max_planned_passes)) {
    const bool trains = purpose == Purpose::training;
    found.push_back(fmt::format(
        "{}={} makes {} micro-batches per data rank, for {} layers: layers x micro-batches may be "
        "at most {}; {}",
        trains ? "train.global_batch" : "parallel.pipeline",
        trains ? options.train.global_batch : options.parallel.pipeline, micro_batches,
        model.layers(), max_planned_passes,
        trains ? "raise train.micro_batch or parallel.data" : "lower parallel.pipeline"));
    return found;
  }
  check_memory(options, model, micro_batches, found);
  return found;
}

}  // namespace masformer
