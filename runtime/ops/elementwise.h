// Sums, copies and fills of vectors and matrices, fp32 or bf16.
#pragma once

#include <vector>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = x [T, H] + bias [H] + added [T, H]: the residual connection after a row-parallel
// product. `bias` may be empty; y may be `added` itself.
void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor added, Tensor y);

// sum [1] fp64 += the squares of all elements of contiguous fp32 tensors, added in double, in an
// order that depends only on the tensors' sizes and the number of threads.
void add_sum_of_squares(const Stream& stream, const std::vector<Tensor>& tensors, Tensor sum);

// Computes factor [1] fp32, which scales a gradient to a norm of at most `largest_norm`. The
// gradient's norm is the square root of squared_norm [1] fp64. The factor is 1 if the norm is not
// larger or `largest_norm` is 0, and NaN if the norm is not finite.
void clip_factor(const Stream& stream, Tensor squared_norm, double largest_norm, Tensor factor);

// x = 0, for a contiguous tensor.
void fill_zero(const Stream& stream, Tensor x);

// to = from, for contiguous tensors of equal shape. Their dtypes are equal, or one is fp32 and the
// other bf16. If the dtypes are equal, one tensor may be in host memory while the stream is a
// device's. A copy to the host has arrived on return. A copy to the device has been read on return,
// unless the host's memory is pinned (pinned_memory.h).
void copy(const Stream& stream, Tensor from, Tensor to);

// Returns the element of a tensor [1] fp64. Waits for the stream.
double scalar(const Stream& stream, Tensor x);

}  // namespace masformer
