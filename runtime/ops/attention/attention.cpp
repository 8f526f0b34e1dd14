#include "runtime/ops/attention/attention.h"

#include <string_view>

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {
namespace {

// The shapes of one call: B batch, S queries, K keys, N query heads, M key/value heads, D head dim.
struct AttentionShapes {
  AttentionShapes(const Tensor& q, const Tensor& k) {
    require(q.dims() == 4, "attention: q is {}, not [batch, queries, heads, head dim]", q.shape());
    require(k.dims() == 4, "attention: k is {}, not [batch, keys, key/value heads, head dim]",
            k.shape());
    const std::int64_t heads = q.dim(2), kv_heads = k.dim(2);
    require(q.dim(3) >= 1, "attention: the head dim of q {} is 0", q.shape());
    require(kv_heads >= 1 && heads % kv_heads == 0,
            "attention: {} key/value heads don't divide {} query heads", kv_heads, heads);
    of_queries = q.shape();
    of_keys = {q.dim(0), k.dim(1), kv_heads, q.dim(3)};
    of_rows = {q.dim(0), heads, q.dim(1)};
  }

  Shape of_queries;  // [B, S, N, D]
  Shape of_keys;     // [B, K, M, D]
  Shape of_rows;     // [B, N, S]
};

void check_mask(const OperandCheck& check, const AttentionShapes& shapes,
                const AttentionMask& mask) {
  require(mask.query_offset >= 0 && mask.key_offset >= 0,
          "attention: query offset {} and key offset {} are positions, so at least 0",
          mask.query_offset, mask.key_offset);
  require(!has_size(mask.span.kind) || mask.span.size >= 1,
          "attention: the window or block size is {}, but must be at least 1", mask.span.size);
  if (!mask.first_keys) return;
  const Shape& queries = shapes.of_queries;
  check.rows("first_keys", mask.first_keys, {queries[0], queries[1]}, DType::i32);
}

// The operands that the forward and the backward share. Returns their dtype.
template <class Arguments>
DType check_forward(const OperandCheck& check, const AttentionShapes& shapes,
                    const Arguments& args) {
  check_mask(check, shapes, args.mask);
  const DType dtype = check.float_type("q", args.q);
  check.rows("q", args.q, shapes.of_queries, dtype);
  check.rows("k", args.k, shapes.of_keys, dtype);
  check.rows("v", args.v, shapes.of_keys, dtype);
  check.rows("out", args.out, shapes.of_queries, dtype);
  check.rows("lse", args.lse, shapes.of_rows);
  return dtype;
}

// A gradient has the dtype of its operand, or is fp32.
void check_gradient(const OperandCheck& check, std::string_view name, const Tensor& gradient,
                    const Shape& shape, DType dtype) {
  check.rows(name, gradient, shape, gradient.dtype() == DType::f32 ? DType::f32 : dtype);
}

}  // namespace

void attention(const Stream& stream, const AttentionForward& args) {
  check_forward(OperandCheck(Op::attention, stream), AttentionShapes(args.q, args.k), args);
  dispatch<Op::attention>(stream, args);
}

void attention_backward(const Stream& stream, const AttentionBackward& args) {
  const AttentionShapes shapes(args.q, args.k);
  const OperandCheck check(Op::attention_backward, stream);
  const DType dtype = check_forward(check, shapes, args);
  check.rows("dout", args.dout, shapes.of_queries, dtype);
  check.rows("delta", args.delta, shapes.of_rows);
  check_gradient(check, "dq", args.dq, shapes.of_queries, dtype);
  check_gradient(check, "dk", args.dk, shapes.of_keys, dtype);
  check_gradient(check, "dv", args.dv, shapes.of_keys, dtype);
  if (args.dq.dtype() != DType::f32) check.contiguous("dq_sum", args.dq_sum, shapes.of_queries);
  dispatch<Op::attention_backward>(stream, args);
}

}  // namespace masformer
