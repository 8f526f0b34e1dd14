#include "runtime/ops/attention/attention_cpu_tile.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

using std::int64_t;

// f(0), f(1), ... f(count - 1) with constants as arguments, so that arrays indexed by them stay in
// registers.
template <int count, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, count>{});
}

// One tile of multiply() and multiply_add(): c [R, tile_lanes] = a b or c factor + a^T b.
template <int R, bool transposed>
void tile(Rows<const float> a, Rows<const float> b, int64_t steps, const float* factor,
          Rows<float> c) {
  Vec sum[R][tile_vectors] = {};
  const auto each = [](auto f) __attribute__((always_inline)) {
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      unrolled<tile_vectors>([&](auto v) __attribute__((always_inline)) { f(r, v); });
    });
  };
  if constexpr (transposed) {
    each([&](auto r, auto v) __attribute__((always_inline)) {
      sum[r][v] = load(c[r] + v * lanes);
      if (factor != nullptr) sum[r][v] *= load(factor + v * lanes);
    });
  }
  const int64_t row_step = transposed ? 1 : a.stride;
  const int64_t next = transposed ? a.stride : 1;
  for (int64_t step = 0; step < steps; ++step, a.data += next, b.data += b.stride) {
    Vec in_lanes[tile_vectors];
    unrolled<tile_vectors>([&](auto v) __attribute__((always_inline)) {
      in_lanes[v] = load(b.data + v * lanes);
    });
    each([&](auto r, auto v)
             __attribute__((always_inline)) { sum[r][v] += a.data[r * row_step] * in_lanes[v]; });
  }
  each([&](auto r, auto v) __attribute__((always_inline)) { store(c[r] + v * lanes, sum[r][v]); });
}

using Tile = void (*)(Rows<const float>, Rows<const float>, int64_t, const float*, Rows<float>);

// Tiles of 1, 2, ... tile_rows rows.
template <bool transposed>
constexpr auto tiles = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Tile, sizeof...(i)>{tile<i + 1, transposed>...};
}
(std::make_integer_sequence<int, tile_rows>{});

// Calls work(begin, size) for `rows` rows cut into tiles of nearly equal size.
template <class Work>
void for_each_tile(int64_t rows, const Work& work) {
  const int64_t count = ceil_div(rows, tile_rows);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = rows * i / count;
    work(begin, rows * (i + 1) / count - begin);
  }
}

template <int... i>
Vec interleave_low(Vec a, Vec b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, (i / 2 + i % 2 * lanes)...);
}

template <int... i>
Vec interleave_high(Vec a, Vec b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, (lanes / 2 + i / 2 + i % 2 * lanes)...);
}

// Transposes a square of lanes x lanes: log2(lanes) perfect shuffles of its rows.
[[gnu::always_inline]] inline void transpose(Vec (&x)[lanes]) {
  constexpr auto sequence = std::make_integer_sequence<int, lanes>{};
  for (int round = 1; round < lanes; round *= 2) {
    Vec y[lanes];
    unrolled<lanes / 2>([&](auto i) __attribute__((always_inline)) {
      y[2 * i] = interleave_low(x[i], x[i + lanes / 2], sequence);
      y[2 * i + 1] = interleave_high(x[i], x[i + lanes / 2], sequence);
    });
    unrolled<lanes>([&](auto i) __attribute__((always_inline)) { x[i] = y[i]; });
  }
}

// The square [begin_row.., begin_column..) of a matrix that ends at rows, columns; 0 beyond.
template <class T>
void load_square(Rows<T> from, int64_t rows, int64_t columns, Vec (&square)[lanes]) {
  for (int i = 0; i < lanes; ++i) {
    if (i >= rows) {
      square[i] = Vec{};
    } else if (columns >= lanes) {
      square[i] = load(from[i]);
    } else {
      square[i] = load_part(from[i], static_cast<int>(columns));
    }
  }
}

template <class T>
void store_square(const Vec (&square)[lanes], int64_t rows, int64_t columns, Rows<T> to) {
  for (int i = 0; i < std::min<int64_t>(rows, lanes); ++i) {
    if (columns >= lanes) {
      store(to[i], square[i]);
    } else {
      store_part(to[i], square[i], static_cast<int>(columns));
    }
  }
}

}  // namespace

void multiply(Rows<const float> a, Rows<const float> b, int64_t rows, int64_t steps,
              Rows<float> c) {
  for_each_tile(rows, [&](int64_t begin, int64_t size) {
    tiles<false>[static_cast<std::size_t>(size - 1)](a.from(begin), b, steps, nullptr,
                                                     c.from(begin));
  });
}

void multiply_add(Rows<const float> a, Rows<const float> b, int64_t rows, int64_t steps,
                  const float* factor, Rows<float> c) {
  for_each_tile(rows, [&](int64_t begin, int64_t size) {
    tiles<true>[static_cast<std::size_t>(size - 1)]({a.data + begin, a.stride}, b, steps, factor,
                                                    c.from(begin));
  });
}

void pack(StoredRows stored, int64_t rows, int64_t columns, float scale, int64_t padded,
          Rows<float> to) {
  with_float_type(stored.dtype, [&]<class T>(T) {
    const Rows<const T> from = stored.as<const T>();
    const auto scaled = [scale](Vec x) { return scale * x; };
    for (int64_t row = 0; row < rows; ++row) {
      map_vectors({0, columns}, scaled, to[row], from[row]);
      std::fill(to[row] + columns, to[row] + padded, 0.0f);
    }
  });
}

void pack_in_lanes(StoredRows stored, int64_t rows, int64_t columns, float scale, Rows<float> to) {
  with_float_type(stored.dtype, [&]<class T>(T) {
    const Rows<const T> from = stored.as<const T>();
    Vec square[lanes];
    for (int64_t row = 0; row < tile_lanes; row += lanes) {
      for (int64_t column = 0; column < columns; column += lanes) {
        load_square<const T>({from[row] + column, from.stride}, rows - row, columns - column,
                             square);
        for (Vec& x : square) x *= scale;
        transpose(square);
        store_square<float>(square, columns - column, lanes, {to[column] + row, to.stride});
      }
    }
  });
}

void unpack_from_lanes(Rows<const float> from, int64_t rows, int64_t columns, const float* factor,
                       StoredRows stored) {
  with_float_type(stored.dtype, [&]<class T>(T) {
    const Rows<T> to = stored.as<T>();
    Vec square[lanes];
    for (int64_t row = 0; row < rows; row += lanes) {
      const Vec factors = load(factor + row);
      for (int64_t column = 0; column < columns; column += lanes) {
        load_square<const float>({from[column] + row, from.stride}, columns - column, lanes,
                                 square);
        for (Vec& x : square) x *= factors;
        transpose(square);
        store_square<T>(square, rows - row, columns - column, {to[row] + column, to.stride});
      }
    }
  });
}

}  // namespace masformer::cpu
