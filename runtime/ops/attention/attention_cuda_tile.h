// The inner loops of the CUDA attention: squares of 64 x 64 fp32 numbers in shared memory, and
// their products in the registers of a block of 256 threads.
//
// Thread t is in row y = t / 16 and column x = t % 16 of the block. It holds a piece of 4 x 4 of a
// product: rows y, y + 16, y + 32, y + 48, and columns x, x + 16, ... (add_scores(), where both
// factors are read along their rows without bank conflicts) or 4x ... 4x + 3 (add_product()). Every
// sum runs over its terms in ascending order.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>

#include "runtime/cuda/pack.h"

namespace masformer::cuda {

constexpr int tile_size = 64;
constexpr int tile_threads = 256;
constexpr int piece_size = 4;
constexpr int piece_step = tile_size / piece_size;

// Rows are padded by 16 bytes, so that 8 threads that read packs of neighbouring rows use different
// banks.
struct alignas(pack_bytes) Tile {
  float x[tile_size][tile_size + 4];
};

struct Piece {
  float x[piece_size][piece_size];
};

__device__ inline int tile_row() {
  return static_cast<int>(threadIdx.x) / piece_step;
}
__device__ inline int tile_column() {
  return static_cast<int>(threadIdx.x) % piece_step;
}

// A part of a matrix, at most 64 x 64: rows `stride` elements apart. `packs`: see pack.h.
template <class T>
struct Part {
  T* first;
  std::int64_t stride;
  int rows, columns;
  bool packs;
};

template <int count, class T>
__device__ void read_packs(const Part<T>& part, Tile& tile) {
  constexpr int row_packs = tile_size / count;
  for (int i = static_cast<int>(threadIdx.x); i < tile_size * row_packs; i += tile_threads) {
    const int row = i / row_packs, column = i % row_packs * count;
    float values[count] = {};
    if (row < part.rows && column < part.columns) {
      load(part.first + row * part.stride + column, values);
    }
    store(values, &tile.x[row][column]);
  }
}

// tile = part, and 0 beyond it. Requires a __syncthreads() before others read it.
template <class T>
__device__ void read(const Part<T>& part, Tile& tile) {
  if (part.packs) {
    read_packs<pack_size<T>>(part, tile);
  } else {
    read_packs<1>(part, tile);
  }
}

// part = factor piece, for columns 4x ... 4x + 3.
template <class T>
__device__ void write(const Piece& piece, float factor, const Part<T>& part) {
  const int column = piece_size * tile_column();
  if (column >= part.columns) return;
  for (int i = 0; i < piece_size; ++i) {
    const int row = tile_row() + piece_step * i;
    if (row >= part.rows) continue;
    float values[piece_size];
#pragma unroll
    for (int j = 0; j < piece_size; ++j) values[j] = factor * piece.x[i][j];
    T* const to = part.first + row * part.stride + column;
    if (part.packs) {
      store(values, to);
    } else {
      for (int j = 0; j < min(piece_size, part.columns - column); ++j) {
        to[j] = rounded<T>(values[j]);
      }
    }
  }
}

// tile = piece, for columns x, x + 16, ...
__device__ inline void keep(const Piece& piece, Tile& tile) {
#pragma unroll
  for (int i = 0; i < piece_size; ++i) {
    for (int j = 0; j < piece_size; ++j) {
      tile.x[tile_row() + piece_step * i][tile_column() + piece_step * j] = piece.x[i][j];
    }
  }
}

// piece += a b^T over the first `depth` columns of both, a multiple of 4.
__device__ inline void add_scores(const Tile& a, const Tile& b, int depth, Piece& piece) {
  for (int d = 0; d < depth; d += 4) {
    float rows[piece_size][4], columns[piece_size][4];
    for (int i = 0; i < piece_size; ++i) {
      load(&a.x[tile_row() + piece_step * i][d], rows[i]);
      load(&b.x[tile_column() + piece_step * i][d], columns[i]);
    }
    for (int i = 0; i < piece_size; ++i) {
      for (int j = 0; j < piece_size; ++j) {
        for (int e = 0; e < 4; ++e) piece.x[i][j] += rows[i][e] * columns[j][e];
      }
    }
  }
}

// piece += a b over the first `depth` columns of a and rows of b, a multiple of 4.
__device__ inline void add_product(const Tile& a, const Tile& b, int depth, Piece& piece) {
  for (int d = 0; d < depth; d += 4) {
    float rows[piece_size][4];
    for (int i = 0; i < piece_size; ++i) load(&a.x[tile_row() + piece_step * i][d], rows[i]);
    for (int e = 0; e < 4; ++e) {
      float columns[piece_size];
      load(&b.x[d + e][piece_size * tile_column()], columns);
      for (int i = 0; i < piece_size; ++i) {
        for (int j = 0; j < piece_size; ++j) piece.x[i][j] += rows[i][e] * columns[j];
      }
    }
  }
}

__device__ inline void multiply_rows(const float (&factor)[piece_size], Piece& piece) {
  for (int i = 0; i < piece_size; ++i) {
    for (float& x : piece.x[i]) x *= factor[i];
  }
}

}  // namespace masformer::cuda
