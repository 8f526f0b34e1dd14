// Biases of products on a CUDA device.
//
// Adding a bias is an epilogue of cuBLASLt's products; add_row() is for the rare shapes and
// alignments that have no such kernel, so it is simple and not fast. The bias's gradient has its
// own kernels, because cuBLASLt can sum the columns with a product, but overwrites earlier sums
// instead of adding to them. Two kernels add in an order that depends on the sizes alone, without
// atomics: first blocks of rows, then the blocks' sums.
#include "runtime/cuda/launch.h"
#include "runtime/cuda/pack.h"
#include "runtime/ops/bias_cuda.h"
#include "runtime/ops/cuda_workspace.h"

namespace masformer::cuda {
namespace {

constexpr int bias_threads = 256, bias_warps = bias_threads / warp_size;

// One thread per element.
template <class T, class Row>
__global__ void add_row_kernel(std::int64_t count, std::int64_t width, float beta, const Row* row,
                               Rows<T> y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * bias_threads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t o = i % width;
  T& element = y[i / width][o];
  const float kept = beta == 0 ? 0 : beta * static_cast<float>(element);
  element = rounded<T>(kept + (row == nullptr ? 0 : static_cast<float>(row[o])));
}

// A block sums this many rows: each warp sums every eighth row, and each lane n columns.
constexpr int part_rows = cuda_workspace::rows_of_column_sum;
template <int n>
constexpr int part_columns = warp_size* n;

template <class T, int n>
__device__ void sum_rows(std::int64_t first, std::int64_t end, std::int64_t column,
                         const Rows<const T>& dy, float (&total)[n]) {
#pragma unroll 4
  for (std::int64_t row = first; row < end; row += bias_warps) {
    float values[n];
    load(dy[row] + column, values);
    for (int i = 0; i < n; ++i) total[i] += values[i];
  }
}

// sums [parts, width]: row p holds the column sums of the rows of part p.
template <class T, int n>
__global__ void sum_part_kernel(std::int64_t rows, std::int64_t width, Rows<const T> dy,
                                float* sums) {
  __shared__ float of_warp[bias_warps][part_columns<n>];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % warp_size, warp = thread / warp_size;
  const std::int64_t left = std::int64_t{blockIdx.x} * part_columns<n>;
  const std::int64_t first = std::int64_t{blockIdx.y} * part_rows;
  const std::int64_t end = first + part_rows < rows ? first + part_rows : rows;
  float total[n] = {};
  if (left + lane * n < width) sum_rows<T, n>(first + warp, end, left + lane * n, dy, total);
  for (int i = 0; i < n; ++i) of_warp[warp][lane * n + i] = total[i];
  __syncthreads();
  for (int c = thread; c < part_columns<n> && left + c < width; c += bias_threads) {
    float sum = 0;
    for (int w = 0; w < bias_warps; ++w) sum += of_warp[w][c];
    sums[blockIdx.y * width + left + c] = sum;
  }
}

// sums [width] += the sum of of_parts [parts, width].
__global__ void add_parts_kernel(std::int64_t parts, std::int64_t width, const float* of_parts,
                                 float* sums) {
  const std::int64_t column = std::int64_t{blockIdx.x} * bias_threads + threadIdx.x;
  if (column >= width) return;
  float sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) sum += of_parts[part * width + column];
  sums[column] += sum;
}

}  // namespace

void add_row(const Stream& stream, float beta, Tensor row, Tensor y) {
  const std::int64_t count = y.elements(), width = y.dim(1);
  with_float_type(y.dtype(), [&]<class T>(T) {
    with_float_type(row.dtype(), [&]<class Row>(Row) {
      const Row* const added = row ? row.data<Row>() : nullptr;
      launch(stream, add_row_kernel<T, Row>, {ceil_div(count, bias_threads)}, bias_threads, count,
             width, beta, added, rows_of<T>(y));
    });
  });
}

void add_column_sums(const Stream& stream, Tensor dy, Tensor sums) {
  const std::int64_t rows = dy.dim(0), width = dy.dim(1), parts = ceil_div(rows, part_rows);
  if (dy.elements() == 0) return;
  auto* const of_parts =
      static_cast<float*>(cuda_stream_of(stream).scratch(cuda_workspace::column_sums(rows, width)));
  with_float_type(dy.dtype(), [&]<class T>(T) {
    with_pack<T>(packs(dy), [&](auto n) {
      launch(stream, sum_part_kernel<T, n.value>, {ceil_div(width, part_columns<n.value>), parts},
             bias_threads, rows, width, rows_of<const T>(dy), of_parts);
    });
  });
  launch(stream, add_parts_kernel, {ceil_div(width, bias_threads)}, bias_threads, parts, width,
         of_parts, sums.data<float>());
}

}  // namespace masformer::cuda
