// GemmRunner with GELU (gelu.h) after them: linear() and gelu(), linear_backward_input() and
// gelu_backward(), as one op each. On devices whose products can do both at once, the elements pass
// through memory once less; elsewhere it is the two of them, bit by bit.
//
// Shapes: T tokens, I input features, O output features. All fp32 or all bf16, summed in fp32. x
// and dy may be column slices of wider matrices; before, after and dbefore are contiguous.
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// before [T, O] = x [T, I] weight^T [O, I] + bias [O] and after [T, O] = gelu(before). An empty
// `bias` is none. Where both are computed at once, `after` comes from `before` as it was before it
// was rounded.
void linear_gelu(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor before,
                 Tensor after);

// dbefore [T, I] = (dy [T, O] weight [O, I]) gelu'(before [T, I]), the gradient through
// linear(gelu(before)). `dbefore` is none of the others.
void linear_backward_input_gelu(const Stream& stream, Tensor dy, Tensor weight, Tensor before,
                                Tensor dbefore);

}  // namespace masformer
