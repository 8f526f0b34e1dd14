// A tensor is a view: where the numbers are, of which type, on which device, in which shape.
// It owns nothing; an Arena (arena.h) owns the memory and outlives its views.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/bfloat16.h"
#include "runtime/shape.h"

namespace masformer {

enum class DType : std::uint8_t { f32, bf16, f64, i32 };
enum class Device : std::uint8_t { cpu, cuda };

std::int64_t size_of(DType dtype);  // bytes
std::string_view name_of(DType dtype);
std::string_view name_of(Device device);

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<bfloat16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
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
  // Distance between neighbours along dimension `i`, in elements. The last one is always 1.
  std::int64_t stride(int i) const { return strides_[i]; }
  std::int64_t elements() const { return shape_.elements(); }
  std::int64_t bytes() const { return elements() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool contiguous() const;

  // [begin, begin + count) of dimension `dim`; other dimensions stay whole.
  Tensor slice(int dim, std::int64_t begin, std::int64_t count) const;
  // The same elements in another shape. Splitting or joining dimensions is allowed wherever the
  // strides permit a view; throws Error elsewhere.
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
