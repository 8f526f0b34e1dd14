// Loops over fp32 or bf16 elements, a vector of floats at a time. The last vector may be partial.
#pragma once

#include <cstdint>
#include <cstring>

#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_math.h"
#include "runtime/tensor.h"

namespace masformer::cpu {

// to[i] = function(from[i]...) for each i of the part; `to` may be one of `from`.
template <class Function, class To, class... From>
void map_vectors(Part part, const Function& function, To* to, const From*... from) {
  std::int64_t i = part.begin;
  for (; i + lanes <= part.end; i += lanes) store(to + i, function(load(from + i)...));
  const int rest = static_cast<int>(part.end - i);
  if (rest > 0) store_part(to + i, function(load_part(from + i, rest)...), rest);
}

// state = function(state, from[i]...) for each vector of the part; the missing elements of the last
// vector read as `filler`.
template <class Function>
Vec fold_vectors(Part part, Vec state, const Function& function, const float* from, float filler) {
  std::int64_t i = part.begin;
  for (; i + lanes <= part.end; i += lanes) state = function(state, load(from + i));
  if (i == part.end) return state;
  Vec last = splat(filler);
  std::memcpy(&last, from + i, static_cast<std::size_t>(part.end - i) * sizeof(float));
  return function(state, last);
}

// Elements [begin, begin + count) of a tensor's memory as floats: in place if they are fp32, else
// widened into `scratch` [count].
inline const float* widened(const Tensor& x, std::int64_t begin, std::int64_t count,
                            float* scratch) {
  if (x.dtype() != DType::bf16) return x.data<float>() + begin;
  map_vectors(
      {0, count}, [](Vec a) { return a; }, scratch, x.data<bfloat16>() + begin);
  return scratch;
}

// Returns where to write such elements as floats, before narrow() rounds them into the tensor.
inline float* unrounded(const Tensor& y, std::int64_t begin, float* scratch) {
  return y.dtype() == DType::bf16 ? scratch : y.data<float>() + begin;
}
inline void narrow(const float* from, std::int64_t count, const Tensor& y, std::int64_t begin) {
  if (y.dtype() != DType::bf16) return;
  map_vectors(
      {0, count}, [](Vec a) { return a; }, y.data<bfloat16>() + begin, from);
}

}  // namespace masformer::cpu
