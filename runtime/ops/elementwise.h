// Small sums over vectors and matrices of fp32.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = y + x [T, H] + bias [H], the residual connection after a row-parallel product. An
// empty `bias` is none.
void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y);

// The sum of the squares of all elements of a contiguous tensor, accumulated in double in an order
// that depends on the number of threads alone. Waits for the stream.
double sum_of_squares(const Stream& stream, Tensor x);

// x = 0, for a contiguous tensor.
void fill_zero(const Stream& stream, Tensor x);

// to = from, for tensors of equal shape and dtype, contiguous.
void copy(const Stream& stream, Tensor from, Tensor to);

}  // namespace masformer
