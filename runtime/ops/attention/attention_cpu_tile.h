// The inner loops of the CPU attention: products of small matrices, of which one has its columns in
// vector lanes, and the copies that bring rows into that form. The blocks are small enough that
// scores stay in the caches and never go to memory.
//
// A tile is R <= tile_rows rows by tile_lanes columns and stays in registers while it is summed. A
// matrix "in lanes" is [n, tile_lanes] with rows `stride` floats apart.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/ops/rows.h"
#include "runtime/ops/vector_math.h"
#include "runtime/rounding.h"
#include "runtime/tensor.h"

namespace masformer::cpu {

inline constexpr int tile_vectors = 2;
inline constexpr int tile_rows = accumulators / tile_vectors;
inline constexpr int tile_lanes = tile_vectors * lanes;

// Rows of a tensor's elements, fp32 or bf16, `stride` elements apart.
struct StoredRows {
  char* data = nullptr;
  std::int64_t stride = 0;
  DType dtype = DType::f32;

  StoredRows from(std::int64_t row) const {
    return {data + row * stride * size_of(dtype), stride, dtype};
  }
  template <class T>
  Rows<T> as() const {
    return {reinterpret_cast<T*>(data), stride};
  }
};

// The rows [tokens, D] of one head of x [B, tokens, heads, D].
inline StoredRows head_rows(const Tensor& x, std::int64_t batch, std::int64_t head) {
  const std::int64_t first = batch * x.stride(0) + head * x.stride(2);
  return {static_cast<char*>(x.raw()) + first * size_of(x.dtype()), x.stride(1), x.dtype()};
}

// c [rows, tile_lanes] = a [rows, steps] b [steps, tile_lanes].
void multiply(Rows<const float> a, Rows<const float> b, std::int64_t rows, std::int64_t steps,
              Rows<float> c);

// c [rows, tile_lanes] = c factor + a^T b, for a [steps, rows], b [steps, tile_lanes] and factor
// [tile_lanes], or null for 1.
void multiply_add(Rows<const float> a, Rows<const float> b, std::int64_t rows, std::int64_t steps,
                  const float* factor, Rows<float> c);

// to [rows, columns] = scale from; columns up to `padded` become 0.
void pack(StoredRows from, std::int64_t rows, std::int64_t columns, float scale,
          std::int64_t padded, Rows<float> to);

// Prefetches [rows, columns]: the rows of a head are on many pages, across which hardware does not
// prefetch. Also used before writing, since a prefetch for writing was measured three times slower.
inline void prefetch(StoredRows from, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t line = 64;
  for (std::int64_t row = 0; row < rows; ++row) {
    const char* const begin = from.from(row).data;
    for (std::int64_t byte = 0; byte < columns * size_of(from.dtype); byte += line) {
      __builtin_prefetch(begin + byte);
    }
  }
}

// to [columns, lanes] = scale from^T, for from [rows <= tile_lanes, columns]; lanes past `rows`
// become 0.
void pack_in_lanes(StoredRows from, std::int64_t rows, std::int64_t columns, float scale,
                   Rows<float> to);

// to [rows <= tile_lanes, columns] = factor from^T, for from [columns, lanes], factor [lanes].
void unpack_from_lanes(Rows<const float> from, std::int64_t rows, std::int64_t columns,
                       const float* factor, StoredRows to);

// An array of floats that starts on a cache line.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::int64_t size)
      : lines_(static_cast<std::size_t>(ceil_div(size, line_size))) {}
  float* data() { return lines_.data()->values; }

 private:
  static constexpr std::int64_t line_size = 16;
  struct alignas(64) Line {
    float values[line_size];
  };
  std::vector<Line> lines_;
};

}  // namespace masformer::cpu
