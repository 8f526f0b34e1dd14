// Small sums and copies of vectors and matrices, fp32 or bf16.
#pragma once

#include <vector>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = x [T, H] + bias [H] + added [T, H], the residual connection after a row-parallel
// product. An empty `bias` is none; y may be `added` itself.
void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor added, Tensor y);

// sum [1] fp64 += the squares of all elements of contiguous fp32 tensors, accumulated in double in
// an order that depends on the tensors' sizes and the number of threads alone.
void add_sum_of_squares(const Stream& stream, const std::vector<Tensor>& tensors, Tensor sum);

// factor [1] fp32 = what scales a gradient whose norm is the root of squared_norm [1] fp64 to at
// most `largest_norm`: 1 where it is no larger or `largest_norm` is 0; NaN where it is not finite.
void clip_factor(const Stream& stream, Tensor squared_norm, double largest_norm, Tensor factor);

// x = 0, for a contiguous tensor.
void fill_zero(const Stream& stream, Tensor x);

// to = from, for contiguous tensors of equal shape: of equal dtype, or one fp32 and one bf16. Of
// equal dtype, one of them may be in host memory while the stream is a device's: what goes to the
// device has been read on return, but from pinned memory; what goes to the host has arrived.
void copy(const Stream& stream, Tensor from, Tensor to);

// The element of a tensor [1] fp64. Waits for the stream.
double scalar(const Stream& stream, Tensor x);

}  // namespace masformer
