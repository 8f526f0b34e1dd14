#include "runtime/ops/attention/merge_attention.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void merge_attention(const Stream& stream, const AttentionMerge& args) {
  const OperandCheck check(Op::merge_attention, stream);
  const Shape shape = args.out.shape();
  require(shape.dims() == 4, "merge_attention: out is {}, not [batch, queries, heads, head dim]",
          shape);
  const Shape rows{shape[0], shape[2], shape[1]};
  check.rows("out", args.out, shape, check.float_type("out", args.out));
  check.rows("lse", args.lse, rows);
  check.rows("other_out", args.other_out, shape, check.float_type("other_out", args.other_out));
  check.rows("other_lse", args.other_lse, rows);
  dispatch<Op::merge_attention>(stream, args);
}

}  // namespace masformer
