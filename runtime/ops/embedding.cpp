#include "runtime/ops/embedding.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y) {
  const std::int64_t tokens = ids.dim(0), features = table.dim(1);
  const OperandCheck check(Op::embedding, stream);
  check.contiguous("ids", ids, {tokens}, DType::i32);
  const DType dtype = check.float_type("table", table);
  check.contiguous("table", table, {table.dim(0), features}, dtype);
  check.contiguous("y", y, {tokens, features}, dtype);
  dispatch<Op::embedding>(stream, ids, table, first, accumulate, y);
}

void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable) {
  const std::int64_t tokens = ids.dim(0), features = dtable.dim(1);
  const OperandCheck check(Op::embedding_backward, stream);
  check.contiguous("ids", ids, {tokens}, DType::i32);
  check.contiguous("dy", dy, {tokens, features}, check.float_type("dy", dy));
  check.contiguous("dtable", dtable, {dtable.dim(0), features});
  dispatch<Op::embedding_backward>(stream, ids, dy, first, dtable);
}

}  // namespace masformer
