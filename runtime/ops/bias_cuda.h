// The parts of linear() other than its product: adding a row to a matrix, and summing its columns.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer::cuda {

// y [T, O] = beta y + row [O]; y, row fp32 or bf16. `row` may be empty. If beta is 0, y is not
// read.
void add_row(const Stream& stream, float beta, Tensor row, Tensor y);

// sums [O] fp32 += the sum of dy [T, O] over T, in an order that depends on T alone.
void add_column_sums(const Stream& stream, Tensor dy, Tensor sums);

}  // namespace masformer::cuda
