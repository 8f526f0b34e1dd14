// Products followed by GELU (gelu.h): linear() and gelu(), linear_backward_input() and
// gelu_backward(), as one op each. On devices whose products can do both at once, the elements pass
// through memory once less; on others, the bits are those of the two ops.
//
// Shapes: T tokens, I input features, O output features. All fp32 or all bf16, summed in fp32. x
// and dy may be column slices of wider matrices; before, after and dbefore are contiguous.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// before [T, O] = x [T, I] weight^T [O, I] + bias [O] and after [T, O] = gelu(before). `bias` may
// be empty. If both are computed at once, `after` is computed from the unrounded sums.
void linear_gelu(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor before,
                 Tensor after);

// dbefore [T, I] = (dy [T, O] weight [O, I]) gelu'(before [T, I]), the gradient through
// linear(gelu(before)). `dbefore` is not one of the others.
void linear_backward_input_gelu(const Stream& stream, Tensor dy, Tensor weight, Tensor before,
                                Tensor dbefore);

}  // namespace masformer
