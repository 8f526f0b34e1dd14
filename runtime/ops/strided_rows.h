// Copies and sums of rows that may lie anywhere: halos of keys and values are packed for a message,
// unpacked, and their gradients are added where they belong.
//
// Both tensors are [B, R, W]. A row, which is the last dimension, is contiguous; the strides of B
// and R are arbitrary, as in slices of wider rows or after Tensor::swapped(). The tensors must not
// overlap.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// to = from. Their dtypes are equal, or one is fp32 and the other bf16.
void copy_rows(const Stream& stream, Tensor from, Tensor to);

// to += from. Each is fp32 or bf16. The sum is in fp32 and is rounded once, to the dtype of `to`.
void add_rows(const Stream& stream, Tensor from, Tensor to);

}  // namespace masformer
