#include "model/block_spec.h"

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
                                       const MlpSpec& mlp, const NormSpec& norm) {
  std::vector<BlockSpec> blocks;
  for (const Span& span : spans) {
    attention.span = span;
    blocks.push_back({attention, mlp, norm});
  }
  return blocks;
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
