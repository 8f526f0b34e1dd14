#include <algorithm>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/parallel_cpu.h"

namespace masformer::cpu {
namespace {

// The row that `id` picks in a table that starts with row `first`; null outside.
float* row_of(const Tensor& table, std::int32_t id, std::int64_t first) {
  const std::int64_t row = id - first;
  if (row < 0 || row >= table.dim(0)) return nullptr;
  return table.data<float>() + row * table.dim(1);
}

void add(const float* from, Part columns, float* to) {
#pragma omp simd
  for (std::int64_t h = columns.begin; h < columns.end; ++h) to[h] += from[h];
}

}  // namespace

void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y) {
  const std::int64_t features = y.dim(1);
  for_each_part(stream, ids.dim(0), 1, [&](Part tokens, int) {
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      const float* row = row_of(table, ids.data<std::int32_t>()[t], first);
      float* y_t = y.data<float>() + t * features;
      if (row != nullptr && accumulate) {
        add(row, {0, features}, y_t);
      } else if (row != nullptr) {
        std::copy_n(row, features, y_t);
      } else if (!accumulate) {
        std::fill_n(y_t, features, 0.0f);
      }
    }
  });
}

// Threads share the columns, not the tokens: two tokens may pick the same row.
void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable) {
  for_each_part(stream, dy.dim(1), line_floats, [&](Part columns, int) {
    for (std::int64_t t = 0; t < ids.dim(0); ++t) {
      float* row = row_of(dtable, ids.data<std::int32_t>()[t], first);
      if (row != nullptr) add(dy.data<float>() + t * dy.dim(1), columns, row);
    }
  });
}

}  // namespace masformer::cpu
