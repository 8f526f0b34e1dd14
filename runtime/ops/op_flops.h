// The operations of a call of an op, computed from its operands. A multiply-add counts as 2, and
// only matrix products and attention count, as in model/cost/flops.h. Attention counts the visible
// pairs, and its backward twice its forward, whatever a kernel recomputes.
#pragma once

#include "runtime/ops/op_list.h"

namespace masformer {

// The number of visible (query, key) pairs, for one head and sequence. Ignores documents, whose
// first keys may be on another device: with documents, it is an upper bound.
std::int64_t visible_pairs(const AttentionMask& mask, std::int64_t queries, std::int64_t keys);

namespace detail {

// Two products: queries with keys, and probabilities with values.
double attention_flops(const Tensor& q, const Tensor& k, const AttentionMask& mask);

// The product of [T, I] and [I, O].
inline double matmul_flops(std::int64_t tokens, std::int64_t inputs, std::int64_t outputs) {
  return 2.0 * static_cast<double>(tokens) * static_cast<double>(inputs) *
         static_cast<double>(outputs);
}

// x [T, I] with weight [O, I], or dy [T, O] with weight [O, I].
template <class... Others>
double linear_flops(const Tensor& rows, const Tensor& weight, const Others&...) {
  return matmul_flops(rows.dim(0), weight.dim(0), weight.dim(1));
}

// dy [T, O] with x [T, I].
template <class... Others>
double linear_weight_flops(const Tensor& dy, const Tensor& x, const Others&...) {
  return matmul_flops(dy.dim(0), dy.dim(1), x.dim(1));
}

template <class Args>
double attention_flops(const Args& args) {
  return attention_flops(args.q, args.k, args.mask);
}

template <class Args>
double attention_backward_flops(const Args& args) {
  return 2 * attention_flops(args);
}

// 0, for ops whose operations are not counted.
template <class... Operands>
double no_flops(const Operands&...) {
  return 0;
}

}  // namespace detail

// The operations of a call of `op`, counted by the function that op_list.h names. `operands` are
// the arguments of the op's function after the stream.
template <Op op, class... Operands>
double op_flops(const Operands&... operands) {
#define MASFORMER_FLOPS_OF(name, flops) \
  if constexpr (op == Op::name) return detail::flops(operands...);
  MASFORMER_OPS(MASFORMER_FLOPS_OF)
#undef MASFORMER_FLOPS_OF
}

}  // namespace masformer
