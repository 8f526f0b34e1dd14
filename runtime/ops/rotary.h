// Rotary position embeddings (Su et al., arXiv 2104.09864). Each head's elements i and i + d/2 are
// a point (a, b) in a plane, which is rotated by the angle position * theta^(-2 i / d):
//
//   a' = a cos - b sin,  b' = b cos + a sin      for i in [0, d/2), where d is the head dim
//
// These are the pairs of Hugging Face's rotate_half() (Llama, GPT-NeoX), not the neighbours 2 i and
// 2 i + 1 of the paper. The product of a rotated query and a rotated key then depends on the
// difference of their positions.
//
// Angles are computed in double and reduced before they are rounded to fp32, so sine and cosine are
// as accurate at position 10,000,000 as at 1. Hugging Face multiplies position and frequency in
// fp32, which is off by up to 0.01 radians at position 131,072 and by 0.0006 at 8,192, and rounds
// sine and cosine to bf16 where activations are bf16. So a model that was trained there sees
// slightly other angles here.
#pragma once

#include <cstdint>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

struct Rotation {
  std::int64_t head_dim = 0;  // even
  double theta = 10000;       // above 0
  bool inverse = false;       // rotate by minus the angle; also the rotation's gradient
};

// Rotates x [T, N head_dim], which are N heads per token, in place. x is fp32 or bf16; the
// computation is in fp32, and results are rounded once. The rows of x may lie apart, as those of q
// and k in the rows of a fused buffer. positions [T] int32.
void rotary(const Stream& stream, Tensor x, Tensor positions, const Rotation& rotation);

}  // namespace masformer
