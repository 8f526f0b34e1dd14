// Checks of an op's operands, before a backend gets them.
#pragma once

#include <string_view>

#include "runtime/error.h"
#include "runtime/ops/op_list.h"
#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

class OperandCheck {
 public:
  // Messages begin with the name of `op`.
  OperandCheck(Op op, const Stream& stream) : op_(name_of(op)), stream_(stream) {}

  // Returns the dtype of an operand that may be fp32 or bf16.
  DType float_type(std::string_view name, const Tensor& tensor) const {
    const DType dtype = tensor.dtype();
    require(dtype == DType::f32 || dtype == DType::bf16, "{}: {} is {}, not fp32 or bf16", op_,
            name, name_of(dtype));
    return dtype;
  }

  // `tensor` has `dtype` and `shape`; its rows may lie apart, as in a slice of wider rows.
  void rows(std::string_view name, const Tensor& tensor, const Shape& shape,
            DType dtype = DType::f32) const {
    require_same_device(stream_, tensor);
    require(tensor.dtype() == dtype && tensor.shape() == shape, "{}: {} is {} {}, not {} {}", op_,
            name, name_of(tensor.dtype()), tensor.shape(), name_of(dtype), shape);
  }

  // The same, but without gaps between rows.
  void contiguous(std::string_view name, const Tensor& tensor, const Shape& shape,
                  DType dtype = DType::f32) const {
    rows(name, tensor, shape, dtype);
    require(tensor.contiguous() || tensor.elements() == 0, "{}: {} {} has gaps between its rows",
            op_, name, shape);
  }

 private:
  std::string_view op_;
  const Stream& stream_;
};

}  // namespace masformer
