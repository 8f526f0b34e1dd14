#include "runtime/ops/elementwise.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor added, Tensor y) {
  const std::int64_t tokens = x.dim(0), features = x.dim(1);
  const OperandCheck check(Op::add_residual, stream);
  const DType dtype = check.float_type("x", x);
  check.rows("x", x, {tokens, features}, dtype);
  if (bias) check.contiguous("bias", bias, {features}, dtype);
  check.rows("added", added, {tokens, features}, dtype);
  check.rows("y", y, {tokens, features}, dtype);
  dispatch<Op::add_residual>(stream, x, bias, added, y);
}

void add_sum_of_squares(const Stream& stream, const std::vector<Tensor>& tensors, Tensor sum) {
  const OperandCheck check(Op::add_sum_of_squares, stream);
  for (const Tensor& x : tensors) check.contiguous("x", x, x.shape());
  check.contiguous("sum", sum, {1}, DType::f64);
  dispatch<Op::add_sum_of_squares>(stream, tensors, sum);
}

void clip_factor(const Stream& stream, Tensor squared_norm, double largest_norm, Tensor factor) {
  const OperandCheck check(Op::clip_factor, stream);
  check.contiguous("squared_norm", squared_norm, {1}, DType::f64);
  check.contiguous("factor", factor, {1});
  dispatch<Op::clip_factor>(stream, squared_norm, largest_norm, factor);
}

void fill_zero(const Stream& stream, Tensor x) {
  OperandCheck(Op::fill_zero, stream).contiguous("x", x, x.shape(), x.dtype());
  dispatch<Op::fill_zero>(stream, x);
}

namespace {

void check_copy_across(const Stream& stream, const Tensor& from, const Tensor& to) {
  const Tensor& on_device = from.device() == Device::cpu ? to : from;
  const Tensor& on_host = from.device() == Device::cpu ? from : to;
  require_same_device(stream, on_device);
  require(on_host.device() == Device::cpu,
          "copy: one tensor must be on the CPU, but they are on {} and {}", name_of(from.device()),
          name_of(to.device()));
  require(from.shape() == to.shape() && from.dtype() == to.dtype() && from.contiguous() &&
              to.contiguous(),
          "copy between host and device: {} {} and {} {} must be contiguous, with the same dtype "
          "and shape",
          name_of(from.dtype()), from.shape(), name_of(to.dtype()), to.shape());
}

void check_copy(const Stream& stream, const Tensor& from, const Tensor& to) {
  if (from.device() != to.device()) return check_copy_across(stream, from, to);
  const OperandCheck check(Op::copy, stream);
  check.contiguous("from", from, from.shape(), from.dtype());
  if (to.dtype() != from.dtype()) {
    check.float_type("from", from);
    check.float_type("to", to);
  }
  check.contiguous("to", to, from.shape(), to.dtype());
}

}  // namespace

void copy(const Stream& stream, Tensor from, Tensor to) {
  check_copy(stream, from, to);
  dispatch<Op::copy>(stream, from, to);
}

double scalar(const Stream& stream, Tensor x) {
  double value = 0;
  const Tensor on_host(&value, {1}, DType::f64, Device::cpu);
  copy(stream, x, on_host);
  return value;
}

}  // namespace masformer
