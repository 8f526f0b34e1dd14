// Copies and sums of rows on the CPU. Memory limits them: each thread takes an equal share of the
// rows, in their order, and moves a row as vectors.
#include <cstring>

#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/rows.h"
#include "runtime/ops/strided_rows.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

// Calls work(row of `from`, row of `to`) for each row.
template <class From, class To, class Work>
void for_each_row(const Stream& stream, const Tensor& from, const Tensor& to, const Work& work) {
  const auto from_rows = batched_rows_of<const From>(from);
  const auto to_rows = batched_rows_of<To>(to);
  for_each_part(stream, from.dim(0) * from.dim(1), 1, [&](Part rows, int) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) work(from_rows[row], to_rows[row]);
  });
}

template <class Work>
void for_each_float_row(const Stream& stream, const Tensor& from, const Tensor& to,
                        const Work& work) {
  with_float_type(from.dtype(), [&]<class From>(From) {
    with_float_type(to.dtype(),
                    [&]<class To>(To) { for_each_row<From, To>(stream, from, to, work); });
  });
}

}  // namespace

void copy_rows(const Stream& stream, Tensor from, Tensor to) {
  if (from.dtype() == to.dtype()) {
    const auto bytes = static_cast<std::size_t>(from.dim(2) * size_of(from.dtype()));
    return for_each_row<char, char>(stream, from, to, [&](const char* source, char* target) {
      if (bytes > 0) std::memcpy(target, source, bytes);
    });
  }
  for_each_float_row(stream, from, to, [&](const auto* source, auto* target) {
    map_vectors(
        {0, from.dim(2)}, [](Vec x) { return x; }, target, source);
  });
}

void add_rows(const Stream& stream, Tensor from, Tensor to) {
  for_each_float_row(stream, from, to, [&](const auto* source, auto* target) {
    map_vectors(
        {0, from.dim(2)}, [](Vec sum, Vec x) { return sum + x; }, target, target, source);
  });
}

}  // namespace masformer::cpu
