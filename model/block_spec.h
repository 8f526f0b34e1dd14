// What a block of the model is made of, as plain data: a mixer, which lets tokens see each other,
// and an MLP, each behind a norm and added to the residual stream.
//
// A new kind of mixer or MLP is a struct here, one more alternative of its variant, and a layer
// (layers/block_layers.h): parameters, FLOPs, buffers and working memory are reported by that
// layer.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "model/violations.h"
#include "runtime/span.h"

namespace masformer {

// Multi-head attention; keys that the span hides are skipped.
struct AttentionSpec {
  std::int64_t heads = 1;
  Span span{};
  float scale = 1;  // multiplies q.k; GPT-Neo's is 1, most others' 1/sqrt(head dim)

  bool operator==(const AttentionSpec&) const = default;
};

// W2 gelu(W1 x + b1) + b2, with the tanh approximation.
struct GeluMlpSpec {
  std::int64_t ffn = 1;  // width of the inner layer

  bool operator==(const GeluMlpSpec&) const = default;
};

using MixerSpec = std::variant<AttentionSpec>;
using MlpSpec = std::variant<GeluMlpSpec>;

struct BlockSpec {
  MixerSpec mixer;
  MlpSpec mlp;

  bool operator==(const BlockSpec&) const = default;
};

// Adds what can't be built of a block in a residual stream `hidden` wide, split over `tensor`
// ranks.
void add_violations(const BlockSpec& block, std::int64_t hidden, int tensor, Violations& found);

// Blocks that differ by their spans only, one for each span.
std::vector<BlockSpec> blocks_of_spans(const std::vector<Span>& spans, AttentionSpec attention,
                                       const MlpSpec& mlp);

// The spans of blocks whose mixers are attention. Throws Error for another mixer.
std::vector<Span> spans_of(const std::vector<BlockSpec>& blocks);

}  // namespace masformer
