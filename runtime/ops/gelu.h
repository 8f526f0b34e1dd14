// GELU in GPT-2's tanh form ("gelu_new"; Hendrycks and Gimpel, arXiv 1606.08415):
//
//   gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y = gelu(x), element by element; all fp32 or all bf16, contiguous, of equal shape.
void gelu(const Stream& stream, Tensor x, Tensor y);

// dx = dy gelu'(x). `dx` may be the same tensor as `dy`.
void gelu_backward(const Stream& stream, Tensor x, Tensor dy, Tensor dx);

}  // namespace masformer
