// The model: a decoder like GPT-Neo's (pre-norm) whose blocks may differ, above all in their
// attention spans (MASFormer, arXiv 2310.12442).
//
//   h = wte[token] + wpe[position];  per block: h += mixer(ln_1 h), h += mlp(ln_2 h);
//   logits = ln_f(h) W^T, where W is wte (tied) or a separate matrix
//
// Only learned positions have the table wpe. Rotary positions rotate q and k in each block instead
// (AttentionSpec::rotary_theta).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/block_spec.h"
#include "parallel/context/head_exchange.h"
#include "parallel/mesh.h"
#include "runtime/enum_names.h"

namespace masformer {

// How the model knows where a token is: by a table of learned vectors, by rotary angles, or by the
// attention masks alone.
#define MASFORMER_POSITIONS_KINDS(KIND) \
  KIND(learned, "learned") KIND(rotary, "rotary") KIND(none, "none")
MASFORMER_NAMED_ENUM(PositionsKind, MASFORMER_POSITIONS_KINDS);
#undef MASFORMER_POSITIONS_KINDS

struct ModelConfig {
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;         // without padding
  std::int64_t positions = 0;     // rows of the position table; other kinds than learned ignore it
  std::vector<BlockSpec> blocks;  // in the model's order
  bool tied = true;               // the head's matrix is the token embedding
  NormSpec norm{};                // before the head
  // With `rotary`, each attention block has a theta; with other kinds, none has.
  PositionsKind positions_kind = PositionsKind::learned;

  int layers() const { return static_cast<int>(blocks.size()); }
};

// The reasons why the model can't be built, or not on this mesh. Each message names the remedy.
// Empty if it can be built.
std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh);

// The reasons why the context ranks of this mesh can't share full layers in this way
// (parallel/context/head_exchange.h). Empty if they can, and if the tensor ranks don't divide the
// heads, which violations() reports.
std::vector<std::string> head_violations(const ModelConfig& config, const Mesh& mesh,
                                         ContextFull full);

// The size of the vocabulary as the tensor ranks store it: padded so that their parts are equal and
// rows of logits start on 64-byte boundaries. Padding is never predicted, and checkpoints do not
// contain it.
std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks);

}  // namespace masformer
