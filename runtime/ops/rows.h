// The rows of a matrix as kernels see it, on any device: a pointer and a stride.
#pragma once

#include <cstdint>
#include <type_traits>

#include "runtime/tensor.h"

namespace masformer {

template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;  // elements between the starts of neighbouring rows

  constexpr T* operator[](std::int64_t row) const { return data + row * stride; }
  constexpr Rows from(std::int64_t row) const { return {data + row * stride, stride}; }
  constexpr operator Rows<const T>() const requires(!std::is_const_v<T>) { return {data, stride}; }
};

// The rows of a tensor of two dimensions.
template <class T>
Rows<T> rows_of(const Tensor& matrix) {
  return {matrix.data<std::remove_const_t<T>>(), matrix.stride(0)};
}

}  // namespace masformer
