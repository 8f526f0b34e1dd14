#include "runtime/ops/strided_rows.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {
namespace {

void check_operands(Op op, const Stream& stream, const Tensor& from, const Tensor& to) {
  const OperandCheck check(op, stream);
  require(from.dims() == 3, "{}: from is {}, not [batch, rows, width]", name_of(op), from.shape());
  check.rows("from", from, from.shape(), from.dtype());
  check.rows("to", to, from.shape(), to.dtype());
  if (op == Op::copy_rows && from.dtype() == to.dtype()) return;
  check.float_type("from", from);
  check.float_type("to", to);
}

}  // namespace

void copy_rows(const Stream& stream, Tensor from, Tensor to) {
  check_operands(Op::copy_rows, stream, from, to);
  dispatch<Op::copy_rows>(stream, from, to);
}

void add_rows(const Stream& stream, Tensor from, Tensor to) {
  check_operands(Op::add_rows, stream, from, to);
  dispatch<Op::add_rows>(stream, from, to);
}

}  // namespace masformer
