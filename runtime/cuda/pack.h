// Elements that a thread moves at once: memory is fastest when each thread moves 16 bytes.
#pragma once

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <type_traits>

#include "runtime/ops/rows.h"
#include "runtime/tensor.h"

namespace masformer::cuda {

template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T x[count];
};

constexpr int pack_bytes = 16;
template <class T>
constexpr int pack_size = pack_bytes / static_cast<int>(sizeof(T));

// Whether a tensor, or each row of it, can be moved in packs: it starts at a multiple of 16 bytes,
// and the last dimension of rows is a multiple of 16 bytes long. An empty tensor can.
inline bool aligned(const Tensor& tensor) {
  return tensor.aligned(pack_bytes);
}
inline bool packs(const Tensor& tensor) {
  if (!tensor) return true;
  const std::int64_t row_bytes = tensor.dim(tensor.dims() - 1) * size_of(tensor.dtype());
  return tensor.rows_aligned(pack_bytes) && row_bytes % pack_bytes == 0;
}

// Calls work(std::integral_constant<int, n>) with n elements of T: 16 bytes where `all_pack`,
// else 1.
template <class T, class Work>
void with_pack(bool all_pack, const Work& work) {
  if (all_pack) {
    work(std::integral_constant<int, pack_size<T>>());
  } else {
    work(std::integral_constant<int, 1>());
  }
}

// The nearest T, ties to even.
template <class T>
__device__ T rounded(float x) {
  return x;
}
// The device has an instruction for this; the arithmetic of bfloat16.h needs seven.
template <>
__device__ inline bfloat16 rounded(float x) {
  bfloat16 nearest;
  nearest.bits = static_cast<__nv_bfloat16_raw>(__float2bfloat16_rn(x)).x;
  return nearest;
}

namespace detail {
template <class T, int count>
constexpr int at_once = count < pack_size<T> ? count : pack_size<T>;
}

// Loads `count` neighbouring elements from `x` as floats, and stores them, rounded once. `x` is
// aligned to `count` elements or to 16 bytes.
template <int count, class T>
__device__ void load(const T* x, float (&values)[count]) {
  constexpr int step = detail::at_once<T, count>;
#pragma unroll
  for (int i = 0; i < count; i += step) {
    const auto pack = *reinterpret_cast<const Pack<T, step>*>(x + i);
    for (int j = 0; j < step; ++j) values[i + j] = static_cast<float>(pack.x[j]);
  }
}

template <int count, class T>
__device__ void store(const float (&values)[count], T* x) {
  constexpr int step = detail::at_once<T, count>;
#pragma unroll
  for (int i = 0; i < count; i += step) {
    Pack<T, step> pack;
    for (int j = 0; j < step; ++j) pack.x[j] = rounded<T>(values[i + j]);
    *reinterpret_cast<Pack<T, step>*>(x + i) = pack;
  }
}

// The same at the end of a row, where only `left` elements may remain: the others read as `filler`
// and are not written.
template <int count, class T>
__device__ void load_part(const T* x, std::int64_t left, float (&values)[count],
                          float filler = 0.0f) {
  if (left >= count) return load(x, values);
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = i < left ? static_cast<float>(x[i]) : filler;
}

template <int count, class T>
__device__ void store_part(const float (&values)[count], T* x, std::int64_t left) {
  if (left >= count) return store(values, x);
#pragma unroll
  for (int i = 0; i < count; ++i) {
    if (i < left) x[i] = rounded<T>(values[i]);
  }
}

}  // namespace masformer::cuda
