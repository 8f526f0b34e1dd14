// A tensor is a view: the address of its elements, their type, device, shape and strides. It owns
// nothing; an Arena (arena.h) owns the memory and must outlive its views.
#pragma once

#include <cstdint>

#include "runtime/bfloat16.h"
#include "runtime/enum_names.h"
#include "runtime/shape.h"

namespace masformer {

// The types of elements: value, name, C++ type. fp32 and bf16 are what ops compute with.
#define MASFORMER_DTYPES(DTYPE) \
  DTYPE(f32, "fp32", float)     \
  DTYPE(bf16, "bf16", bfloat16) \
  DTYPE(f64, "fp64", double)    \
  DTYPE(i32, "int32", std::int32_t)
MASFORMER_NAMED_ENUM(DType, MASFORMER_DTYPES);

// The kinds of device: value, name. The program contains the backend of the first kind. That of any
// other kind is a plugin, libmasformer_NAME.so (backend.h).
#define MASFORMER_DEVICES(DEVICE) DEVICE(cpu, "cpu") DEVICE(cuda, "cuda")
MASFORMER_NAMED_ENUM(Device, MASFORMER_DEVICES);

std::int64_t size_of(DType dtype);  // bytes

template <class T>
constexpr DType dtype_of();
#define MASFORMER_DTYPE_OF(value, name, type) \
  template <>                                 \
  constexpr DType dtype_of<type>() {          \
    return DType::value;                      \
  }
MASFORMER_DTYPES(MASFORMER_DTYPE_OF)
#undef MASFORMER_DTYPE_OF

// Calls work(T()) with the element type of fp32 or bf16.
template <class Work>
void with_float_type(DType dtype, const Work& work) {
  if (dtype == DType::bf16) return work(bfloat16());
  work(float());
}

class Tensor {
 public:
  Tensor() = default;  // empty: no data, no dimensions
  // A contiguous (row-major) view of `data`.
  Tensor(void* data, Shape shape, DType dtype, Device device);

  template <class T>
  T* data() const {
    check_type(dtype_of<T>());
    return static_cast<T*>(data_);
  }
  void* raw() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }

  const Shape& shape() const { return shape_; }
  int dims() const { return shape_.dims(); }
  std::int64_t dim(int i) const { return shape_[i]; }
  // Distance between neighbours along dimension `i`, in elements. The last stride is always 1.
  std::int64_t stride(int i) const { return strides_[i]; }
  std::int64_t elements() const { return shape_.elements(); }
  std::int64_t bytes() const { return elements() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool contiguous() const;
  // Whether the address of the first element, or that of every row, is a multiple of `bytes`. True
  // for an empty tensor.
  bool aligned(std::int64_t bytes) const;
  bool rows_aligned(std::int64_t bytes) const;

  // The part [begin, begin + count) of dimension `dim`, and the whole of the other dimensions.
  Tensor slice(int dim, std::int64_t begin, std::int64_t count) const;
  // The same elements with dimensions `a` and `b`, neither the last, swapped.
  Tensor swapped(int a, int b) const;
  // The same elements in another shape. Throws Error if the strides do not permit a view with
  // dimensions split or joined in this way.
  Tensor reshape(const Shape& shape) const;

 private:
  void check_type(DType wanted) const;

  void* data_ = nullptr;
  Shape shape_;
  Shape strides_;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
};

}  // namespace masformer
