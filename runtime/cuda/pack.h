// Elements that a thread moves at once: memory is fastest by 16 bytes a thread.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>
#include <type_traits>

#include "runtime/tensor.h"

namespace masformer::cuda {

template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T x[count];
};

constexpr int pack_bytes = 16;
template <class T>
constexpr int pack_size = pack_bytes / static_cast<int>(sizeof(T));

// Whether all rows of a tensor can be moved in packs of 16 bytes: each starts on such a border, and
// its `columns` (the last dimension) are so many times 16 bytes. An empty tensor can.
inline bool packs(const Tensor& tensor) {
  if (!tensor) return true;
  const std::int64_t bytes = size_of(tensor.dtype());
  if (reinterpret_cast<std::uintptr_t>(tensor.raw()) % pack_bytes != 0) return false;
  for (int dim = 0; dim + 1 < tensor.dims(); ++dim) {
    if (tensor.stride(dim) * bytes % pack_bytes != 0) return false;
  }
  return tensor.dim(tensor.dims() - 1) * bytes % pack_bytes == 0;
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

// The floats of `count` neighbours from `x`, which stands on a border of so many elements; and
// back, rounded once.
template <int count, class T>
__device__ inline void load(const T* x, float (&values)[count]) {
  const auto pack = *reinterpret_cast<const Pack<T, count>*>(x);
  for (int i = 0; i < count; ++i) values[i] = static_cast<float>(pack.x[i]);
}

template <int count, class T>
__device__ inline void store(const float (&values)[count], T* x) {
  Pack<T, count> pack;
  for (int i = 0; i < count; ++i) pack.x[i] = T(values[i]);
  *reinterpret_cast<Pack<T, count>*>(x) = pack;
}

}  // namespace masformer::cuda
