// Layer norm on the CPU. A row fits the caches, so it is read several times: mean, variance and
// result are three simple loops. The variance is computed from the differences to the mean, which
// loses no digits if the mean is large. In the backward each part of the tokens sums the weights'
// gradients for itself, and the parts are added in their order: bits do not depend on the number of
// threads.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"
#include "runtime/rounding.h"

namespace masformer::cpu {
namespace {

struct Moments {
  float mean, rstd;
};

Moments moments(const float* x, std::int64_t features, float epsilon) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t h = 0; h < features; ++h) sum += x[h];
  const float mean = sum / static_cast<float>(features);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t h = 0; h < features; ++h) squares += (x[h] - mean) * (x[h] - mean);
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(features) + epsilon)};
}

// The sums over one part of the tokens, [2, H]: of dy xhat, then of dy. Tokens of a block are added
// in fp32 and blocks in double, so that long sequences lose no digits.
class ParameterSums {
 public:
  static constexpr std::int64_t block = 32;  // tokens

  explicit ParameterSums(std::int64_t features)
      : recent_(static_cast<std::size_t>(2 * features)), total_(recent_.size()) {}

  float* dweight() { return recent_.data(); }
  float* dbias() { return recent_.data() + recent_.size() / 2; }
  void close_block() {
    for (std::size_t i = 0; i < total_.size(); ++i) total_[i] += double(recent_[i]);
    std::ranges::fill(recent_, 0.0f);
  }
  const std::vector<double>& total() const { return total_; }

 private:
  std::vector<float> recent_;
  std::vector<double> total_;
};

// The rows of one token, and the norm's weight, as floats.
class FloatRows {
 public:
  explicit FloatRows(std::int64_t features)
      : features_(features), scratch_(static_cast<std::size_t>(rows * features)) {}

  const float* read(const Tensor& x, std::int64_t t, int row) {
    return x ? widened(x, t * features_, features_, scratch(row)) : nullptr;
  }
  float* write_to(const Tensor& y, std::int64_t t, int row) {
    return unrounded(y, t * features_, scratch(row));
  }
  void written(const float* from, const Tensor& y, std::int64_t t) const {
    narrow(from, features_, y, t * features_);
  }

 private:
  static constexpr std::int64_t rows = 5;
  float* scratch(int row) { return scratch_.data() + row * features_; }

  std::int64_t features_;
  std::vector<float> scratch_;
};

// One token: g = dy weight, dx = residual + rstd (g - mean(g) - xhat mean(g xhat)). `dx` may be
// `dy` or `residual`: each element is read before it is written.
void backward_row(const LayerNormBackward& args, std::int64_t t, FloatRows& rows,
                  ParameterSums& sums) {
  const std::int64_t features = args.x.dim(1);
  const float* dy = rows.read(args.dy, t, 0);
  const float* x = rows.read(args.x, t, 1);
  const float* weight = rows.read(args.weight, 0, 2);
  const float* residual = rows.read(args.residual, t, 3);
  float* dx = rows.write_to(args.dx, t, 4);
  float* dweight = sums.dweight();
  float* dbias = sums.dbias();
  const float mean = args.mean.data<float>()[t];
  const float rstd = args.rstd.data<float>()[t];

  float g_sum = 0, g_xhat_sum = 0;
#pragma omp simd reduction(+ : g_sum, g_xhat_sum)
  for (std::int64_t h = 0; h < features; ++h) {
    const float g = dy[h] * weight[h];
    g_sum += g;
    g_xhat_sum += g * ((x[h] - mean) * rstd);
  }
  const float g_mean = g_sum / static_cast<float>(features);
  const float g_xhat_mean = g_xhat_sum / static_cast<float>(features);
#pragma omp simd
  for (std::int64_t h = 0; h < features; ++h) {
    const float xhat = (x[h] - mean) * rstd;
    const float gradient = rstd * (dy[h] * weight[h] - g_mean - xhat * g_xhat_mean);
    dweight[h] += dy[h] * xhat;
    dbias[h] += dy[h];
    dx[h] = residual == nullptr ? gradient : residual[h] + gradient;
  }
  rows.written(dx, args.dx, t);
}

void add_in_order(const std::vector<ParameterSums>& sums, Tensor dweight, Tensor dbias) {
  const std::int64_t features = dweight.dim(0);
  for (std::int64_t h = 0; h < features; ++h) {
    double weight_sum = 0, bias_sum = 0;
    for (const ParameterSums& part : sums) {
      weight_sum += part.total()[static_cast<std::size_t>(h)];
      bias_sum += part.total()[static_cast<std::size_t>(features + h)];
    }
    dweight.data<float>()[h] += static_cast<float>(weight_sum);
    dbias.data<float>()[h] += static_cast<float>(bias_sum);
  }
}

}  // namespace

void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd) {
  const std::int64_t features = x.dim(1);
  for_each_part(stream, x.dim(0), 1, [&](Part tokens, int) {
    FloatRows rows(features);
    const float* w = rows.read(weight, 0, 0);
    const float* b = rows.read(bias, 0, 1);
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      const float* x_t = rows.read(x, t, 2);
      float* y_t = rows.write_to(y, t, 3);
      const Moments row = moments(x_t, features, epsilon);
#pragma omp simd
      for (std::int64_t h = 0; h < features; ++h) {
        y_t[h] = (x_t[h] - row.mean) * row.rstd * w[h] + b[h];
      }
      rows.written(y_t, y, t);
      mean.data<float>()[t] = row.mean;
      rstd.data<float>()[t] = row.rstd;
    }
  });
}

void layer_norm_backward(const Stream& stream, const LayerNormBackward& args) {
  // The number of parts depends on the tokens, not on the threads, so that copies of a norm stay
  // equal on ranks with different numbers of threads.
  constexpr std::int64_t max_parts = 64;
  const std::int64_t blocks = ceil_div(args.x.dim(0), ParameterSums::block);
  const auto parts = static_cast<int>(std::min(blocks, max_parts));
  std::vector<ParameterSums> sums(static_cast<std::size_t>(parts), ParameterSums(args.x.dim(1)));
  for_each_part_of(stream, parts, args.x.dim(0), ParameterSums::block, [&](Part tokens, int part) {
    ParameterSums& own = sums[static_cast<std::size_t>(part)];
    FloatRows rows(args.x.dim(1));
    for (std::int64_t begin = tokens.begin; begin < tokens.end; begin += ParameterSums::block) {
      const std::int64_t end = std::min(tokens.end, begin + ParameterSums::block);
      for (std::int64_t t = begin; t < end; ++t) backward_row(args, t, rows, own);
      own.close_block();
    }
  });
  add_in_order(sums, args.dweight, args.dbias);
}

}  // namespace masformer::cpu
