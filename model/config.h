// The model: a GPT-Neo-shaped decoder (pre-norm, learned positions) of blocks that may differ, in
// their attention spans above all (MASFormer, arXiv 2310.12442).
//
//   h = wte[token] + wpe[position];  per block: h += mixer(ln_1 h), h += mlp(ln_2 h);
//   logits = ln_f(h) W^T, W = wte (tied) or a matrix of its own
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/block_spec.h"
#include "parallel/mesh.h"

namespace masformer {

struct ModelConfig {
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;         // words, without padding
  std::int64_t positions = 0;     // longest sequence
  std::vector<BlockSpec> blocks;  // in the order of the model
  bool tied = true;               // the head's matrix is the token embedding
  float epsilon = 1e-5f;          // of the layer norms

  int layers() const { return static_cast<int>(blocks.size()); }
};

// What can't be built, or not on this mesh, each with its remedy; empty where all is well.
std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh);

// The vocabulary as tensor ranks hold it: padded so that each has an equal part, and rows of logits
// start on 64-byte boundaries. Padding words can't be predicted and are absent from checkpoints.
std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks);

}  // namespace masformer
