// The rows of a matrix, or of a batch of matrices, as kernels see them on any device: a pointer and
// strides.
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

// The rows of [B, R, W], counted over B and R.
template <class T>
struct BatchedRows {
  T* data = nullptr;
  std::int64_t rows = 0;                          // R
  std::int64_t batch_stride = 0, row_stride = 0;  // in elements

  constexpr T* operator[](std::int64_t row) const {
    return data + row / rows * batch_stride + row % rows * row_stride;
  }
};

// The rows of a tensor of three dimensions, as elements of T: its own, or of any size that divides
// its strides in bytes.
template <class T>
BatchedRows<T> batched_rows_of(const Tensor& x) {
  const std::int64_t element = size_of(x.dtype()), size = sizeof(T);
  return {static_cast<T*>(x.raw()), x.dim(1), x.stride(0) * element / size,
          x.stride(1) * element / size};
}

}  // namespace masformer
