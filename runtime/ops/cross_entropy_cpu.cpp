// Softmax cross-entropy on the CPU. Threads share the tokens, and a row of logits is read in
// vectors. A vocabulary has some 50,000 tokens, so exponentials are summed in fp32 over blocks of
// columns and in double over the blocks. This keeps the sum's digits, and its cost is negligible
// next to the exponentials.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

float* row_of(const Tensor& logits, std::int64_t t) {
  return logits.data<float>() + t * logits.stride(0);
}

// The column of `label` in the shard; -1 if it is in another shard or predicts nothing.
std::int64_t column_of(std::int32_t label, VocabularyShard shard) {
  const std::int64_t column = label - shard.first;
  return label >= 0 && column >= 0 && column < shard.valid ? column : -1;
}

float largest(const float* row, std::int64_t columns) {
  const Vec best = fold_vectors({0, columns}, splat(lowest), larger, row, lowest);
  float result = lowest;
  for (int lane = 0; lane < lanes; ++lane) result = std::max(result, best[lane]);
  return result;
}

float sum_of_exp(const float* row, std::int64_t columns, float max) {
  constexpr std::int64_t block = 2048;
  const auto add = [max](Vec total, Vec logit) { return total + exp(logit - max); };
  double total = 0;
  for (std::int64_t begin = 0; begin < columns; begin += block) {
    const Part part = {begin, std::min(columns, begin + block)};
    total += double(sum(fold_vectors(part, Vec{}, add, row, lowest)));
  }
  return static_cast<float>(total);
}

}  // namespace

void softmax_max(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor max) {
  for_each_part(stream, logits.dim(0), 1, [&](Part tokens, int) {
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      max.data<float>()[t] = largest(row_of(logits, t), shard.valid);
    }
  });
}

void softmax_sum(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor labels,
                 Tensor max, Tensor sum, Tensor target) {
  for_each_part(stream, logits.dim(0), 1, [&](Part tokens, int) {
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      const float* row = row_of(logits, t);
      sum.data<float>()[t] = sum_of_exp(row, shard.valid, max.data<float>()[t]);
      const std::int64_t column = column_of(labels.data<std::int32_t>()[t], shard);
      target.data<float>()[t] = column < 0 ? 0.0f : row[column];
    }
  });
}

void cross_entropy(const Stream&, Tensor labels, Tensor max, Tensor sum, Tensor target, Tensor lse,
                   Tensor loss) {
  double total = 0;
  for (std::int64_t t = 0; t < labels.dim(0); ++t) {
    const double exact = double(max.data<float>()[t]) + std::log(double(sum.data<float>()[t]));
    lse.data<float>()[t] = static_cast<float>(exact);
    if (labels.data<std::int32_t>()[t] >= 0) total += exact - double(target.data<float>()[t]);
  }
  *loss.data<double>() += total;
}

void cross_entropy_backward(const Stream& stream, Tensor logits, VocabularyShard shard,
                            Tensor labels, Tensor lse, float scale, Tensor dlogits) {
  with_float_type(dlogits.dtype(), [&]<class T>(T) {
    for_each_part(stream, logits.dim(0), 1, [&](Part tokens, int) {
      for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
        const float* row = row_of(logits, t);
        T* gradient = dlogits.data<T>() + t * dlogits.stride(0);
        const std::int32_t label = labels.data<std::int32_t>()[t];
        const std::int64_t words = label < 0 ? 0 : shard.valid;
        const std::int64_t column = column_of(label, shard);
        const float lse_t = lse.data<float>()[t];
        const float at_label = column < 0 ? 0 : row[column];
        const auto softmax = [=](Vec logit) { return scale * exp(logit - lse_t); };
        map_vectors({0, words}, softmax, gradient, row);
        std::fill(gradient + words, gradient + logits.dim(1), T(0.0f));
        if (column >= 0) gradient[column] = T(softmax(splat(at_label))[0] - scale);
      }
    });
  });
}

}  // namespace masformer::cpu
