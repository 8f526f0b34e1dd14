// Loops over floats, a vector at a time, the last one perhaps not full.
#pragma once

#include <cstdint>
#include <cstring>

#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_math.h"

namespace masformer::cpu {

// to[i] = function(from[i]...) for each i of the part; `to` may be one of `from`.
template <class Function, class... From>
void map_vectors(Part part, const Function& function, float* to, const From*... from) {
  std::int64_t i = part.begin;
  for (; i + lanes <= part.end; i += lanes) store(to + i, function(load(from + i)...));
  const int rest = static_cast<int>(part.end - i);
  if (rest > 0) store_part(to + i, function(load_part(from + i, rest)...), rest);
}

// state = function(state, from[i]...) for each vector of the part; the missing elements of the
// last one read as `filler`.
template <class Function>
Vec fold_vectors(Part part, Vec state, const Function& function, const float* from, float filler) {
  std::int64_t i = part.begin;
  for (; i + lanes <= part.end; i += lanes) state = function(state, load(from + i));
  if (i == part.end) return state;
  Vec last = splat(filler);
  std::memcpy(&last, from + i, static_cast<std::size_t>(part.end - i) * sizeof(float));
  return function(state, last);
}

}  // namespace masformer::cpu
