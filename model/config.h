// The model: a decoder like GPT-Neo's (pre-norm, learned positions) whose blocks may differ, above
// all in their attention spans (MASFormer, arXiv 2310.12442).
//
//   h = wte[token] + wpe[position];  per block: h += mixer(ln_1 h), h += mlp(ln_2 h);
//   logits = ln_f(h) W^T, where W is wte (tied) or a separate matrix
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/block_spec.h"
#include "parallel/mesh.h"

namespace masformer {

struct ModelConfig {
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;         // without padding
  std::int64_t positions = 0;     // longest sequence
  std::vector<BlockSpec> blocks;  // in the model's order
  bool tied = true;               // the head's matrix is the token embedding
  NormSpec norm{};                // before the head

  int layers() const { return static_cast<int>(blocks.size()); }
};

// The reasons why the model can't be built, or not on this mesh. Each message names the remedy.
// Empty if it can be built.
std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh);

// The size of the vocabulary as the tensor ranks store it: padded so that their parts are equal and
// rows of logits start on 64-byte boundaries. Padding is never predicted, and checkpoints do not
// contain it.
std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks);

}  // namespace masformer
