// The parts of a model's block, as plain data: a mixer, which lets tokens see each other, and an
// MLP. Each follows a norm, and its output is added to the residual stream.
//
// A new kind of mixer or MLP is a struct here, an alternative of its variant, and a layer
// (layers/block_layers.h). A new kind of norm is a struct here and a part of layers
// (layers/norm_part.h). The layers report their parameters, FLOPs, buffers and working memory.
// Apart from them, only the checkpoint's description (state/config_json.h), the options and the
// plans made from them (launch/plan/) name kinds. Each of these has an overload per kind, so a
// missing one does not compile.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "model/violations.h"
#include "runtime/span.h"

namespace masformer {

// Multi-head attention under a span's mask.
struct AttentionSpec {
  std::int64_t heads = 1;
  Span span{};
  float scale = 1;  // multiplies q.k; GPT-Neo's is 1, most others' 1/sqrt(head dim)
  // Base of the angles by which q and k are rotated (runtime/ops/rotary.h); none: they are not.
  std::optional<double> rotary_theta{};

  bool operator==(const AttentionSpec&) const = default;
};

// W2 gelu(W1 x + b1) + b2, with the tanh approximation.
struct GeluMlpSpec {
  std::int64_t ffn = 1;  // width of the inner layer

  bool operator==(const GeluMlpSpec&) const = default;
};

// (x - mean) / sqrt(variance + epsilon) * weight + bias, over the width of the residual stream.
struct LayerNormSpec {
  float epsilon = 1e-5f;

  bool operator==(const LayerNormSpec&) const = default;
};

using MixerSpec = std::variant<AttentionSpec>;
using MlpSpec = std::variant<GeluMlpSpec>;
using NormSpec = std::variant<LayerNormSpec>;

struct BlockSpec {
  MixerSpec mixer;
  MlpSpec mlp;
  NormSpec norm{};  // the norm before each of them

  bool operator==(const BlockSpec&) const = default;
};

// Adds to `found` the reasons why a block can't be built in a residual stream of width `hidden`,
// split over `tensor` ranks.
void add_violations(const BlockSpec& block, std::int64_t hidden, int tensor, Violations& found);

// The bases of rotary angles: those of layers that attend to everything, and of all others. Models
// such as Gemma 3 use a larger one where keys are far away.
struct RotaryThetas {
  double full = 10000;
  double window = 10000;

  double of(const Span& span) const { return span.kind == SpanKind::full ? full : window; }
};

// One block per span; the blocks differ in their spans, and in the thetas that follow from them.
// `rotary`: none for blocks that do not rotate q and k.
std::vector<BlockSpec> blocks_of_spans(const std::vector<Span>& spans, AttentionSpec attention,
                                       const MlpSpec& mlp, const NormSpec& norm = {},
                                       const std::optional<RotaryThetas>& rotary = {});

// The thetas of blocks, by span; none if no block rotates q and k. If no block has full attention,
// or all have, both are the same.
std::optional<RotaryThetas> thetas_of(const std::vector<BlockSpec>& blocks);

// The spans of blocks whose mixers are attention. Throws Error for any other mixer.
std::vector<Span> spans_of(const std::vector<BlockSpec>& blocks);

}  // namespace masformer
