#include <cstring>
#include <numeric>
#include <vector>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/parallel_cpu.h"

namespace masformer::cpu {
namespace {

constexpr std::int64_t page = 4096;  // bytes

}  // namespace

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y) {
  const std::int64_t features = x.dim(1);
  const float* b = bias ? bias.data<float>() : nullptr;
  for_each_part(stream, x.dim(0), 1, [&](Part tokens, int) {
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      const float* x_t = x.data<float>() + t * x.stride(0);
      float* y_t = y.data<float>() + t * y.stride(0);
#pragma omp simd
      for (std::int64_t h = 0; h < features; ++h) {
        y_t[h] += b == nullptr ? x_t[h] : x_t[h] + b[h];
      }
    }
  });
}

double sum_of_squares(const Stream& stream, Tensor x) {
  std::vector<double> sums(static_cast<std::size_t>(stream.threads()));
  for_each_part(stream, x.elements(), line_floats, [&](Part elements, int part) {
    const float* data = x.data<float>();
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = elements.begin; i < elements.end; ++i) {
      sum += double(data[i]) * double(data[i]);
    }
    sums[static_cast<std::size_t>(part)] = sum;
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

void fill_zero(const Stream& stream, Tensor x) {
  for_each_part(stream, x.bytes(), page, [&](Part bytes, int) {
    if (bytes.begin == bytes.end) return;
    std::memset(static_cast<char*>(x.raw()) + bytes.begin, 0,
                static_cast<std::size_t>(bytes.end - bytes.begin));
  });
}

void copy(const Stream& stream, Tensor from, Tensor to) {
  for_each_part(stream, from.bytes(), page, [&](Part bytes, int) {
    if (bytes.begin == bytes.end) return;
    std::memcpy(static_cast<char*>(to.raw()) + bytes.begin,
                static_cast<const char*>(from.raw()) + bytes.begin,
                static_cast<std::size_t>(bytes.end - bytes.begin));
  });
}

}  // namespace masformer::cpu
