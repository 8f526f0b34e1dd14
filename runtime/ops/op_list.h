// Every op, once, and the function that counts its operations (op_flops.h). Op and its names, the
// members of Backend (runtime/backend.h), both backends' declarations (backend_cpu.h,
// backend_cuda.h) and their tables are made from this list: a backend that lacks an op does not
// link. A new op is a line here, its header among the includes, and its sources (masformer_op() in
// runtime/CMakeLists.txt).
#pragma once

#include <cstdint>

#include "runtime/enum_names.h"
#include "runtime/ops/adamw.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/attention/merge_attention.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"
#include "runtime/ops/rotary.h"
#include "runtime/ops/strided_rows.h"

#define MASFORMER_OPS(OP)                          \
  OP(linear, linear_flops)                         \
  OP(linear_backward_input, linear_flops)          \
  OP(linear_backward_weight, linear_weight_flops)  \
  OP(linear_gelu, linear_flops)                    \
  OP(linear_backward_input_gelu, linear_flops)     \
  OP(attention, attention_flops)                   \
  OP(attention_backward, attention_backward_flops) \
  OP(merge_attention, no_flops)                    \
  OP(rotary, no_flops)                             \
  OP(gelu, no_flops)                               \
  OP(gelu_backward, no_flops)                      \
  OP(layer_norm, no_flops)                         \
  OP(layer_norm_backward, no_flops)                \
  OP(add_residual, no_flops)                       \
  OP(add_sum_of_squares, no_flops)                 \
  OP(clip_factor, no_flops)                        \
  OP(fill_zero, no_flops)                          \
  OP(copy, no_flops)                               \
  OP(copy_rows, no_flops)                          \
  OP(add_rows, no_flops)                           \
  OP(embedding, no_flops)                          \
  OP(embedding_backward, no_flops)                 \
  OP(softmax_max, no_flops)                        \
  OP(softmax_sum, no_flops)                        \
  OP(cross_entropy, no_flops)                      \
  OP(cross_entropy_backward, no_flops)             \
  OP(adamw, no_flops)

namespace masformer {

#define MASFORMER_OP_VALUE(op, ...) op,
enum class Op : std::uint8_t { MASFORMER_OPS(MASFORMER_OP_VALUE) };
#undef MASFORMER_OP_VALUE

#define MASFORMER_OP_ROW(op, ...) {Op::op, #op},
template <>
inline constexpr auto enum_names<Op> =
    std::to_array<NamedValue<Op>>({MASFORMER_OPS(MASFORMER_OP_ROW)});
#undef MASFORMER_OP_ROW

}  // namespace masformer
