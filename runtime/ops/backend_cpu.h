// The CPU backend's ops: the contract of each is in its own header, and its operands are checked
// before they come here. OpenMP between cores, SIMD within.
#pragma once

#include "runtime/ops/op_list.h"

namespace masformer::cpu {

decltype(masformer::supports_matmul) supports_matmul;

#define MASFORMER_DECLARE_OP(op, ...) decltype(masformer::op) op;
MASFORMER_OPS(MASFORMER_DECLARE_OP)
#undef MASFORMER_DECLARE_OP

}  // namespace masformer::cpu
