// Every op, once. Op and its names, the members of Backend (runtime/backend.h), both backends'
// declarations (backend_cpu.h, backend_cuda.h) and their tables are made from this list: a backend
// that lacks an op does not link. A new op is a line here, its header among the includes, and its
// sources (masformer_op() in runtime/CMakeLists.txt).
#pragma once

#include <cstdint>

#include "runtime/enum_names.h"
#include "runtime/ops/adamw.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/gelu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/linear_gelu.h"

#define MASFORMER_OPS(OP)        \
  OP(linear)                     \
  OP(linear_backward_input)      \
  OP(linear_backward_weight)     \
  OP(linear_gelu)                \
  OP(linear_backward_input_gelu) \
  OP(attention)                  \
  OP(attention_backward)         \
  OP(gelu)                       \
  OP(gelu_backward)              \
  OP(layer_norm)                 \
  OP(layer_norm_backward)        \
  OP(add_residual)               \
  OP(add_sum_of_squares)         \
  OP(clip_factor)                \
  OP(fill_zero)                  \
  OP(copy)                       \
  OP(embedding)                  \
  OP(embedding_backward)         \
  OP(softmax_max)                \
  OP(softmax_sum)                \
  OP(cross_entropy)              \
  OP(cross_entropy_backward)     \
  OP(adamw)

namespace masformer {

#define MASFORMER_OP_VALUE(op) op,
enum class Op : std::uint8_t { MASFORMER_OPS(MASFORMER_OP_VALUE) };
#undef MASFORMER_OP_VALUE

#define MASFORMER_OP_ROW(op) {Op::op, #op},
template <>
inline constexpr auto enum_names<Op> =
    std::to_array<NamedValue<Op>>({MASFORMER_OPS(MASFORMER_OP_ROW)});
#undef MASFORMER_OP_ROW

}  // namespace masformer
