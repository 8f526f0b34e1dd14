// The model: a GPT-Neo-shaped decoder (pre-norm, learned positions, tanh GELU, no q/k/v bias) with
// an attention span for each layer (MASFormer, arXiv 2310.12442).
//
//   h = wte[token] + wpe[position];  per layer: h += attention(ln_1 h), h += mlp(ln_2 h);
//   logits = ln_f(h) W^T, W = wte (tied) or a matrix of its own
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/mesh.h"
#include "runtime/span.h"

namespace masformer {

struct ModelConfig {
  int layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t ffn = 0;        // width of the MLP's inner layer
  std::int64_t vocab = 0;      // words, without padding
  std::int64_t positions = 0;  // longest sequence
  std::vector<Span> spans;     // one a layer
  float attention_scale = 1;   // multiplies q.k; GPT-Neo's is 1, most others' 1/sqrt(head dim)
  bool tied = true;            // the head's matrix is the token embedding
  float epsilon = 1e-5f;       // of the layer norms

  std::int64_t head_dim() const { return hidden / heads; }
};

// What can't be built, or not on this mesh, each with its remedy; empty where all is well.
std::vector<std::string> violations(const ModelConfig& config, const Mesh& mesh);

// Trainable numbers; a tied head counts once, padding never.
std::int64_t parameter_count(const ModelConfig& config);

// The vocabulary as tensor ranks hold it: padded so that each has an equal part, and rows of logits
// start on 64-byte borders. Padding words can't be predicted and are absent from checkpoints.
std::int64_t padded_vocab(std::int64_t vocab, int tensor_ranks);

}  // namespace masformer
