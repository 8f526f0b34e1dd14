// Copies and sums of rows on a CUDA device. Memory limits them, so a thread moves 16 bytes of the
// narrower type at once where all rows allow it, and single elements otherwise. Copies that do not
// convert move bytes, whatever the dtype.
#include <type_traits>

#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/cuda/row_blocks.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/rows.h"
#include "runtime/ops/strided_rows.h"

namespace masformer::cuda {
namespace {

// `count` rows of `width` elements.
struct Extent {
  std::int64_t count, width;
};

Extent extent_of(const Tensor& x) {
  return {x.dim(0) * x.dim(1), x.dim(2)};
}

template <class Unit>
__global__ void copy_units(RowBlocks blocks, Extent extent, BatchedRows<const Unit> from,
                           BatchedRows<Unit> to) {
  const std::int64_t row = blocks.row();
  if (row >= extent.count) return;
  const Unit* const source = from[row];
  Unit* const target = to[row];
  for (std::int64_t i = blocks.thread(); i < extent.width; i += blocks.threads_per_row) {
    target[i] = source[i];
  }
}

template <class Unit>
void copy_as(const Stream& stream, const Tensor& from, const Tensor& to) {
  Extent extent = extent_of(from);
  extent.width = extent.width * size_of(from.dtype()) / std::int64_t{sizeof(Unit)};
  const RowBlocks blocks(extent.width, 1);
  launch(stream, copy_units<Unit>, {blocks.blocks(extent.count)}, blocks.threads(), blocks, extent,
         batched_rows_of<const Unit>(from), batched_rows_of<Unit>(to));
}

void copy_bytes(const Stream& stream, const Tensor& from, const Tensor& to) {
  if (packs(from) && packs(to)) return copy_as<Pack<std::uint32_t, 4>>(stream, from, to);
  switch (size_of(from.dtype())) {
    case 8:
      return copy_as<std::uint64_t>(stream, from, to);
    case 4:
      return copy_as<std::uint32_t>(stream, from, to);
    default:
      return copy_as<std::uint16_t>(stream, from, to);
  }
}

// to = from, or to += from if `adds`.
template <int n, bool adds, class From, class To>
__global__ void convert_rows(RowBlocks blocks, Extent extent, BatchedRows<const From> from,
                             BatchedRows<To> to) {
  const std::int64_t row = blocks.row();
  if (row >= extent.count) return;
  const From* const source = from[row];
  To* const target = to[row];
  for (std::int64_t i = blocks.thread() * n; i < extent.width; i += blocks.threads_per_row * n) {
    float x[n], sum[n] = {};
    load(source + i, x);
    if constexpr (adds) load(target + i, sum);
#pragma unroll
    for (int j = 0; j < n; ++j) sum[j] = adds ? sum[j] + x[j] : x[j];
    store(sum, target + i);
  }
}

template <bool adds>
void convert(const Stream& stream, const Tensor& from, const Tensor& to) {
  with_float_type(from.dtype(), [&]<class From>(From) {
    with_float_type(to.dtype(), [&]<class To>(To) {
      using Narrower = std::conditional_t<(sizeof(From) < sizeof(To)), From, To>;
      with_pack<Narrower>(packs(from) && packs(to), [&](auto n) {
        const Extent extent = extent_of(from);
        const RowBlocks blocks(extent.width, n);
        launch(stream, convert_rows<n.value, adds, From, To>, {blocks.blocks(extent.count)},
               blocks.threads(), blocks, extent, batched_rows_of<const From>(from),
               batched_rows_of<To>(to));
      });
    });
  });
}

}  // namespace

void copy_rows(const Stream& stream, Tensor from, Tensor to) {
  if (from.dtype() == to.dtype()) return copy_bytes(stream, from, to);
  convert<false>(stream, from, to);
}

void add_rows(const Stream& stream, Tensor from, Tensor to) {
  convert<true>(stream, from, to);
}

}  // namespace masformer::cuda
