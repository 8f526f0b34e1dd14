#include "model/block_spec.h"

#include <fmt/format.h>

#include "runtime/error.h"

namespace masformer {
namespace {

struct BlockCheck {
  std::int64_t hidden;
  int tensor;
  Violations& found;

  void operator()(const AttentionSpec& attention) const {
    found.check_positive("model.heads", attention.heads);
    found.check_divides("model.heads", attention.heads, "model.hidden", hidden);
    found.check_divides("parallel.tensor", tensor, "model.heads", attention.heads);
    if (attention.rotary_theta) check_rotary(attention);
  }

  // Rotary positions rotate pairs of a head's elements.
  void check_rotary(const AttentionSpec& attention) const {
    if (attention.heads < 1 || hidden < 1 || hidden % attention.heads != 0) return;
    const std::int64_t head_dim = hidden / attention.heads;
    if (head_dim % 2 == 0) return;
    found.add(
        fmt::format("model.positions_kind=rotary requires an even head dim, but model.hidden={} / "
                    "model.heads={} is {}: use model.hidden={}, or change model.heads",
                    hidden, attention.heads, head_dim, hidden + attention.heads));
  }

  void operator()(const GeluMlpSpec& mlp) const {
    found.check_positive("model.ffn", mlp.ffn);
    found.check_divides("parallel.tensor", tensor, "model.ffn", mlp.ffn);
  }
};

}  // namespace

void add_violations(const BlockSpec& block, std::int64_t hidden, int tensor, Violations& found) {
  const BlockCheck check{hidden, tensor, found};
  std::visit(check, block.mixer);
  std::visit(check, block.mlp);
}

std::vector<BlockSpec> blocks_of_spans(const std::vector<Span>& spans, AttentionSpec attention,
                                       const MlpSpec& mlp, const NormSpec& norm,
                                       const std::optional<RotaryThetas>& rotary) {
  std::vector<BlockSpec> blocks;
  for (const Span& span : spans) {
    attention.span = span;
    attention.rotary_theta.reset();
    if (rotary) attention.rotary_theta = rotary->of(span);
    blocks.push_back({attention, mlp, norm});
  }
  return blocks;
}

std::optional<RotaryThetas> thetas_of(const std::vector<BlockSpec>& blocks) {
  std::optional<double> full, window;
  for (const BlockSpec& block : blocks) {
    const auto* const attention = std::get_if<AttentionSpec>(&block.mixer);
    if (attention == nullptr || !attention->rotary_theta) continue;
    (attention->span.kind == SpanKind::full ? full : window) = attention->rotary_theta;
  }
  if (!full && !window) return std::nullopt;
  return RotaryThetas{full ? *full : *window, window ? *window : *full};
}

std::vector<Span> spans_of(const std::vector<BlockSpec>& blocks) {
  std::vector<Span> spans;
  for (const BlockSpec& block : blocks) {
    const auto* const attention = std::get_if<AttentionSpec>(&block.mixer);
    require(attention != nullptr, "block {} has no attention, so it has no span", spans.size());
    spans.push_back(attention->span);
  }
  return spans;
}

}  // namespace masformer
