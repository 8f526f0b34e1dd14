// Work split between the threads of a CPU stream. Which thread does what depends only on their
// number, so that results are the same every time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/rounding.h"
#include "runtime/stream.h"

namespace masformer::cpu {

// Elements [begin, end): the share of one thread.
struct Part {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// Share `part` of [0, size), cut into `parts` shares at multiples of `grain`.
inline Part part_of(std::int64_t size, std::int64_t parts, std::int64_t part, std::int64_t grain) {
  const std::int64_t grains = ceil_div(size, grain);
  return {std::min(size, grains * part / parts * grain),
          std::min(size, grains * (part + 1) / parts * grain)};
}

// The number of 2-byte elements in a cache line. If shares are cut at multiples of it, no two
// threads write to the same line, for elements of 2 bytes or more.
constexpr std::int64_t line_elements = 32;

// Calls work(Part, index) for each of `parts` parts, on the stream's threads. `work` must not
// throw.
template <class Work>
void for_each_part_of(const Stream& stream, int parts, std::int64_t size, std::int64_t grain,
                      const Work& work) {
#pragma omp parallel for num_threads(stream.threads()) schedule(static)
  for (int part = 0; part < parts; ++part) work(part_of(size, parts, part, grain), part);
}

// The same with one part per thread.
template <class Work>
void for_each_part(const Stream& stream, std::int64_t size, std::int64_t grain, const Work& work) {
  for_each_part_of(stream, stream.threads(), size, grain, work);
}

}  // namespace masformer::cpu
