// The embedding on the CPU. The forward splits the tokens among threads. The backward splits the
// columns instead, because two tokens may have the same id and add to the same row: so rows need no
// locks, and tokens are added in their order.
#include <algorithm>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/embedding.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

// The row of `id` in a table that starts with row `first`; null if it is not in the table.
template <class T>
T* row_of(const Tensor& table, std::int32_t id, std::int64_t first) {
  const std::int64_t row = id - first;
  if (row < 0 || row >= table.dim(0)) return nullptr;
  return table.data<T>() + row * table.dim(1);
}

constexpr auto sum_of = [](Vec a, Vec b) { return a + b; };

}  // namespace

void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y) {
  const std::int64_t features = y.dim(1);
  with_float_type(y.dtype(), [&]<class T>(T) {
    for_each_part(stream, ids.dim(0), 1, [&](Part tokens, int) {
      for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
        const T* row = row_of<T>(table, ids.data<std::int32_t>()[t], first);
        T* y_t = y.data<T>() + t * features;
        if (row != nullptr && accumulate) {
          map_vectors({0, features}, sum_of, y_t, y_t, row);
        } else if (row != nullptr) {
          std::copy_n(row, features, y_t);
        } else if (!accumulate) {
          std::fill_n(y_t, features, T(0.0f));
        }
      }
    });
  });
}

void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable) {
  with_float_type(dy.dtype(), [&]<class T>(T) {
    for_each_part(stream, dy.dim(1), line_elements, [&](Part columns, int) {
      for (std::int64_t t = 0; t < ids.dim(0); ++t) {
        float* row = row_of<float>(dtable, ids.data<std::int32_t>()[t], first);
        if (row != nullptr) map_vectors(columns, sum_of, row, row, dy.data<T>() + t * dy.dim(1));
      }
    });
  });
}

}  // namespace masformer::cpu
