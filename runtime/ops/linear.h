// y = x W^T + b, and its gradients.
//
// Shapes: T tokens, I input features, O output features. All fp32; or x, weight, bias and the
// gradients of x and y bf16, summed in fp32, with fp32 gradients of weight and bias. x, y and their
// gradients may be column slices of wider matrices (last dimension contiguous).
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// Whether the stream's device has products of `dtype`: those of bf16 take AVX-512 on a CPU.
bool supports_matmul(const Stream& stream, DType dtype);

// y [T, O] = x [T, I] weight^T [O, I] + bias [O]. An empty `bias` is none. y may be fp32 where the
// factors are bf16.
//
// y = that + residual [T, O], of the dtype of all others, where `residual` is given: y is none of
// them. Devices whose products can start from another matrix read it there, so that y passes
// through memory once; elsewhere the sum is add_residual()'s.
void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y,
            Tensor residual = {});

// dx [T, I] = dy [T, O] weight [O, I].
void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx);

// dweight [O, I] += dy^T x; dbias [O] += the sum of dy over tokens. An empty `dbias` is none.
void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias);

}  // namespace masformer
