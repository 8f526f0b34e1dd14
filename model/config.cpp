#include "model/config.h"

#include <variant>

#include <fmt/format.h>

#include "model/violations.h"
#include "runtime/rounding.h"

namespace masformer {

std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh) {
  Violations found;
  found.check_positive("model.layers", config.layers());
  found.check_positive("model.hidden", config.hidden);
  found.check_positive("model.vocab", config.vocab);
  if (config.positions_kind == PositionsKind::learned) {
    found.check_positive("model.positions", config.positions);
  }
  for (const BlockSpec& block : config.blocks) {
    add_violations(block, config.hidden, mesh.tensor, found);
  }
  return found.all();
}

std::vector<std::string> head_violations(const ModelConfig& config, const Mesh& mesh,
                                         ContextFull full) {
  Violations found;
  for (const BlockSpec& block : config.blocks) {
    const auto* const attention = std::get_if<AttentionSpec>(&block.mixer);
    if (attention == nullptr || !is_by_heads(full, attention->span, mesh.context)) continue;
    if (attention->heads % mesh.tensor != 0) continue;
    found.check_divides("parallel.context", mesh.context, "(model.heads / parallel.tensor)",
                        attention->heads / mesh.tensor);
  }
  std::vector<std::string> all = found.all();
  for (std::string& violation : all) violation += ", or use parallel.context_full=ring";
  return all;
}

std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks) {
  constexpr std::int64_t floats_in_cache_line = 16;
  return round_up(vocab, floats_in_cache_line * tensor_ranks);
}

}  // namespace masformer
