// Small sums and copies of vectors and matrices, fp32 or bf16.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// y [T, H] = y + x [T, H] + bias [H], the residual connection after a row-parallel product. An
// empty `bias` is none.
void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y);

// The sum of the squares of all elements of a contiguous fp32 tensor, accumulated in double in an
// order that depends on the number of threads alone. Waits for the stream.
double sum_of_squares(const Stream& stream, Tensor x);

// x = 0, for a contiguous tensor.
void fill_zero(const Stream& stream, Tensor x);

// to = from, for contiguous tensors of equal shape: of equal dtype, or one fp32 and one bf16.
void copy(const Stream& stream, Tensor from, Tensor to);

}  // namespace masformer
