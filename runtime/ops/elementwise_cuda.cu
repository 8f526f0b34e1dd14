// Elementwise ops on a CUDA device. All are memory-bound, so a thread moves packs of 16 bytes if
// the rows allow it. The squares of all gradients are summed in a few launches (tensor_batch.h) and
// without atomics: every block adds its share, one block adds the blocks' sums in their order.
#include <algorithm>
#include <cmath>

#include "runtime/cuda/map.h"
#include "runtime/cuda/memory.h"
#include "runtime/cuda/reduce.h"
#include "runtime/cuda/tensor_batch.h"
#include "runtime/ops/backend_cuda.h"
#include "runtime/ops/elementwise.h"

namespace masformer::cuda {
namespace {

// One block per row.
template <int n, class T>
__global__ void add_residual_row(int features, Rows<const T> x, const T* bias, Rows<const T> added,
                                 Rows<T> y) {
  const T* const x_t = x[blockIdx.x];
  const T* const added_t = added[blockIdx.x];
  T* const y_t = y[blockIdx.x];
  for (int h = static_cast<int>(threadIdx.x) * n; h < features; h += blockDim.x * n) {
    float x_h[n], bias_h[n] = {}, sum[n];
    load(x_t + h, x_h);
    if (bias != nullptr) load(bias + h, bias_h);
    load(added_t + h, sum);
#pragma unroll
    for (int i = 0; i < n; ++i) sum[i] += x_h[i] + bias_h[i];
    store(sum, y_t + h);
  }
}

}  // namespace

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor added, Tensor y) {
  with_float_type(x.dtype(), [&]<class T>(T) {
    with_pack<T>(packs(x) && packs(bias) && packs(added) && packs(y), [&](auto n) {
      const std::int64_t features = x.dim(1);
      launch(stream, add_residual_row<n.value, T>, {x.dim(0)}, threads_for(ceil_div(features, n)),
             features, rows_of<const T>(x), bias ? bias.data<T>() : nullptr,
             rows_of<const T>(added), rows_of<T>(y));
    });
  });
}

namespace {

struct Squared {
  const float* data;
  bool aligned;
};

constexpr int square_threads = 256;
using SquareBatch = TensorBatch<Squared, 128, square_threads * 32>;

template <int n>
__device__ double squares(const float* x, std::int64_t begin, std::int64_t end) {
  double total = 0;
  for (std::int64_t at = begin + threadIdx.x * n; at < end; at += square_threads * n) {
    float values[n];
    load_part(x + at, end - at, values);
#pragma unroll
    for (int i = 0; i < n; ++i) total += double(values[i]) * double(values[i]);
  }
  return total;
}

// sums[block] = the squares of the block's shares, plus sums[block] if `add`.
__global__ void sum_squares(SquareBatch batch, double* sums, bool add) {
  double total = 0;
  for (int share = static_cast<int>(blockIdx.x); share < batch.shares(); share += gridDim.x) {
    const auto [x, begin, end] = batch[share];
    total +=
        x.aligned ? squares<pack_size<float>>(x.data, begin, end) : squares<1>(x.data, begin, end);
  }
  total = over_block(total);
  if (threadIdx.x == 0) sums[blockIdx.x] = add ? sums[blockIdx.x] + total : total;
}

// One block.
__global__ void add_parts(const double* sums, int count, double* sum) {
  double total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += blockDim.x) total += sums[i];
  total = over_block(total);
  if (threadIdx.x == 0) *sum += total;
}

void add_squares(const Stream& stream, const SquareBatch& batch, double* sum) {
  constexpr int max_blocks = 1024;
  const int parts = std::min(batch.shares(), max_blocks);
  // A single block adds to the result itself.
  if (parts <= 1) return launch(stream, sum_squares, {parts}, square_threads, batch, sum, true);
  auto* const sums =
      static_cast<double*>(cuda_stream_of(stream).scratch(parts * size_of(DType::f64)));
  launch(stream, sum_squares, {parts}, square_threads, batch, sums, false);
  launch(stream, add_parts, {1}, square_threads, sums, parts, sum);
}

}  // namespace

void add_sum_of_squares(const Stream& stream, const std::vector<Tensor>& tensors, Tensor sum) {
  in_batches<SquareBatch>(
      tensors,
      [](SquareBatch& batch, const Tensor& x) {
        batch.add({x.data<float>(), aligned(x)}, x.elements());
      },
      [&](const SquareBatch& batch) { add_squares(stream, batch, sum.data<double>()); });
}

namespace {

__global__ void find_clip_factor(const double* squared_norm, double largest_norm, float* factor) {
  const double norm = sqrt(*squared_norm);
  const bool clipped = largest_norm > 0 && norm > largest_norm;
  *factor = !isfinite(norm) ? NAN : clipped ? static_cast<float>(largest_norm / norm) : 1.0f;
}

}  // namespace

void clip_factor(const Stream& stream, Tensor squared_norm, double largest_norm, Tensor factor) {
  launch(stream, find_clip_factor, {1}, 1, squared_norm.data<double>(), largest_norm,
         factor.data<float>());
}

void fill_zero(const Stream& stream, Tensor x) {
  if (x.bytes() == 0) return;
  check(cudaMemsetAsync(x.raw(), 0, static_cast<std::size_t>(x.bytes()),
                        cuda_stream_of(stream).handle()),
        "cudaMemsetAsync");
}

namespace {

struct Same {
  __device__ float operator()(float x) const { return x; }
};

}  // namespace

void copy(const Stream& stream, Tensor from, Tensor to) {
  if (from.device() != to.device()) {
    copy_across(stream, from, to);
  } else if (from.dtype() == DType::f32 && to.dtype() == DType::bf16) {
    map<bfloat16, float>(stream, Same(), to, from);
  } else if (from.dtype() == DType::bf16 && to.dtype() == DType::f32) {
    map<float, bfloat16>(stream, Same(), to, from);
  } else if (from.bytes() > 0) {
    check(cudaMemcpyAsync(to.raw(), from.raw(), static_cast<std::size_t>(from.bytes()),
                          cudaMemcpyDeviceToDevice, cuda_stream_of(stream).handle()),
          "cudaMemcpyAsync");
  }
}

}  // namespace masformer::cuda
