// Layer normalisation over the last dimension (Ba et al., arXiv 1607.06450):
//
//   xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + epsilon),  y = xhat weight + bias
//
// Shapes: T tokens, H features; contiguous. x, y, weight, bias and the gradients of x and y are all
// fp32 or all bf16; statistics and the gradients of the weights are fp32.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] from x [T, H], weight [H], bias [H]; keeps mean [T] and rstd [T] for the backward.
void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd);

struct LayerNormBackward {
  Tensor dy;          // [T, H]
  Tensor x;           // [T, H], as in the forward
  Tensor weight;      // [H]
  Tensor mean, rstd;  // [T], kept by the forward
  Tensor residual;    // [T, H], the gradient that bypasses the norm; empty for none
  Tensor dx;          // [T, H], written; may be the same tensor as `residual` or `dy`
  Tensor dweight;     // [H], added to
  Tensor dbias;       // [H], added to
};

// With g = dy weight:  dx = residual + rstd (g - mean(g) - xhat mean(g xhat)),
// dweight += sum over tokens of dy xhat,  dbias += sum over tokens of dy.
// The order of the sums depends only on the number of tokens.
void layer_norm_backward(const Stream& stream, const LayerNormBackward& args);

}  // namespace masformer
