// y = x W^T + b, and its gradients.
//
// Shapes: T tokens, I input features, O output features. All fp32; or x, weight, bias and the
// gradients of x and y bf16, summed in fp32, with fp32 gradients of weight and bias. x, y and their
// gradients may be column slices of wider matrices (last dimension contiguous).
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// Whether the stream's device supports matrix products of `dtype`. bf16 requires AVX-512 on a CPU.
bool supports_matmul(const Stream& stream, DType dtype);

// y [T, O] = x [T, I] weight^T [O, I] + bias [O] + residual [T, O]. `bias` and `residual` may be
// empty. Without a residual, y may be fp32 while the factors are bf16. With one, all tensors have
// the same dtype, and y is not the residual. If a device's products can start their sums from
// another matrix, they start from the residual, so that y passes through memory once. Other devices
// use add_residual() (elementwise.h).
void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y,
            Tensor residual = {});

// dx [T, I] = dy [T, O] weight [O, I].
void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx);

// dweight [O, I] += dy^T x; dbias [O] += the sum of dy over tokens. `dbias` may be empty.
void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias);

}  // namespace masformer
