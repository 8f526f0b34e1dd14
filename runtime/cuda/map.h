// Functions of contiguous tensors, element by element. One kernel template serves them all. They
// are memory-bound, so a thread moves 16 bytes of the narrowest type at once if all tensors are
// aligned, and single elements otherwise.
#pragma once

#include <algorithm>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"

namespace masformer::cuda {
namespace detail {

template <int n>
struct Floats {
  float x[n];
};

template <int n, class T>
__device__ Floats<n> loaded(const T* from, std::int64_t left) {
  Floats<n> floats;
  load_part(from, left, floats.x);
  return floats;
}

template <int n, class Function, class To, class... From>
__device__ void map_pack(const Function& function, To* to, std::int64_t left, const From&... from) {
  float results[n];
#pragma unroll
  for (int i = 0; i < n; ++i) results[i] = function(from.x[i]...);
  store_part(results, to, left);
}

template <int n, class Function, class To, class... From>
__global__ void map_kernel(std::int64_t count, Function function, To* to, const From*... from) {
  const std::int64_t begin = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * n;
  const std::int64_t left = count - begin;
  if (left > 0) map_pack<n>(function, to + begin, left, loaded<n>(from + begin, left)...);
}

}  // namespace detail

// to[i] = function(from[i]...) with the given element types; `to` may be one of `from`. `function`
// has a __device__ operator() and is copied to the device.
template <class To, class... From, class Function, class... Tensors>
void map(const Stream& stream, const Function& function, const Tensor& to, const Tensors&... from) {
  using Narrowest = std::conditional_t<(sizeof(To) <= std::min({sizeof(From)...})), To, bfloat16>;
  constexpr int threads = 256;
  with_pack<Narrowest>(aligned(to) && (aligned(from) && ...), [&](auto n) {
    launch(stream, detail::map_kernel<n.value, Function, To, From...>,
           {ceil_div(to.elements(), threads * n.value)}, threads, to.elements(), function,
           to.data<To>(), from.template data<From>()...);
  });
}

}  // namespace masformer::cuda
