// The CUDA backend's ops, in NAME_cuda.cu: the contract of each is in its own header, and its
// operands are checked before they come here. A call issues the op to the stream and returns.
#pragma once

#include "runtime/ops/op_list.h"

namespace masformer::cuda {

decltype(masformer::supports_matmul) supports_matmul;

#define MASFORMER_DECLARE_OP(op, ...) decltype(masformer::op) op;
MASFORMER_OPS(MASFORMER_DECLARE_OP)
#undef MASFORMER_DECLARE_OP

}  // namespace masformer::cuda
