// Elementwise ops on the CPU. All are memory-bound, so each is one loop over vectors that reads and
// writes every element once. Threads get ranges that start at cache lines or pages, so that no two
// write to the same line or page.
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

constexpr std::int64_t page = 4096;  // bytes

}  // namespace

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor added, Tensor y) {
  with_float_type(x.dtype(), [&]<class T>(T) {
    const Part features{0, x.dim(1)};
    for_each_part(stream, x.dim(0), 1, [&](Part tokens, int) {
      for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
        const T* x_t = x.data<T>() + t * x.stride(0);
        const T* added_t = added.data<T>() + t * added.stride(0);
        T* y_t = y.data<T>() + t * y.stride(0);
        if (bias) {
          const auto add = [](Vec a, Vec b, Vec c) { return a + (b + c); };
          map_vectors(features, add, y_t, added_t, x_t, bias.data<T>());
        } else {
          map_vectors(
              features, [](Vec a, Vec b) { return a + b; }, y_t, added_t, x_t);
        }
      }
    });
  });
}

namespace {

double sum_of_squares(const Stream& stream, const Tensor& x) {
  std::vector<double> sums(static_cast<std::size_t>(stream.threads()));
  for_each_part(stream, x.elements(), line_elements, [&](Part elements, int part) {
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

}  // namespace

void add_sum_of_squares(const Stream& stream, const std::vector<Tensor>& tensors, Tensor total) {
  for (const Tensor& x : tensors) *total.data<double>() += sum_of_squares(stream, x);
}

void clip_factor(const Stream&, Tensor squared_norm, double largest_norm, Tensor factor) {
  const double norm = std::sqrt(*squared_norm.data<double>());
  float& result = *factor.data<float>();
  if (!std::isfinite(norm)) {
    result = std::numeric_limits<float>::quiet_NaN();
  } else {
    const bool clipped = largest_norm > 0 && norm > largest_norm;
    result = clipped ? static_cast<float>(largest_norm / norm) : 1.0f;
  }
}

void fill_zero(const Stream& stream, Tensor x) {
  for_each_part(stream, x.bytes(), page, [&](Part bytes, int) {
    if (bytes.begin == bytes.end) return;
    std::memset(static_cast<char*>(x.raw()) + bytes.begin, 0,
                static_cast<std::size_t>(bytes.end - bytes.begin));
  });
}

namespace {

void convert(const Stream& stream, const Tensor& from, const Tensor& to) {
  const auto same = [](Vec x) { return x; };
  with_float_type(from.dtype(), [&]<class From>(From) {
    with_float_type(to.dtype(), [&]<class To>(To) {
      for_each_part(stream, from.elements(), line_elements, [&](Part part, int) {
        map_vectors(part, same, to.data<To>(), from.data<From>());
      });
    });
  });
}

}  // namespace

void copy(const Stream& stream, Tensor from, Tensor to) {
  if (from.dtype() != to.dtype()) return convert(stream, from, to);
  for_each_part(stream, from.bytes(), page, [&](Part bytes, int) {
    if (bytes.begin == bytes.end) return;
    std::memcpy(static_cast<char*>(to.raw()) + bytes.begin,
                static_cast<const char*>(from.raw()) + bytes.begin,
                static_cast<std::size_t>(bytes.end - bytes.begin));
  });
}

}  // namespace masformer::cpu
