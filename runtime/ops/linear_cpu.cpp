#include <algorithm>
#include <array>

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "runtime/error.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/parallel_cpu.h"

namespace masformer::cpu {
namespace {

// oneDNN takes its number of threads from OpenMP's setting for the calling thread.
class ThreadsOfStream {
 public:
  explicit ThreadsOfStream(const Stream& stream) : before_(omp_get_max_threads()) {
    omp_set_num_threads(stream.threads());
  }
  ~ThreadsOfStream() { omp_set_num_threads(before_); }
  ThreadsOfStream(const ThreadsOfStream&) = delete;
  ThreadsOfStream& operator=(const ThreadsOfStream&) = delete;

 private:
  int before_;
};

// A matrix as a factor: as it stands, or transposed.
struct Factor {
  Tensor matrix;
  bool transposed = false;

  char letter() const { return transposed ? 'T' : 'N'; }
  std::int64_t columns() const { return matrix.dim(transposed ? 0 : 1); }
};

// c = a b + beta c. oneDNN's plain product beat its matmul primitive in the mean over the shapes
// of a 768-wide model, and takes any row strides and a beta.
void multiply(const Stream& stream, const Factor& a, const Factor& b, float beta, Tensor c) {
  if (c.elements() == 0) return;
  const ThreadsOfStream threads(stream);
  const dnnl_status_t status =
      dnnl_sgemm(a.letter(), b.letter(), c.dim(0), c.dim(1), a.columns(), 1.0f,
                 a.matrix.data<float>(), a.matrix.stride(0), b.matrix.data<float>(),
                 b.matrix.stride(0), beta, c.data<float>(), c.stride(0));
  require(status == dnnl_success, "oneDNN refused a product into {}: {}", c.shape().to_string(),
          static_cast<int>(status));
}

// Every row of y = row; zeros for an empty row.
void fill_rows(const Stream& stream, Tensor row, Tensor y) {
  const std::int64_t width = y.dim(1);
  for_each_part(stream, y.dim(0), 1, [&](Part tokens, int) {
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      float* y_t = y.data<float>() + t * y.stride(0);
      if (row) {
        std::copy_n(row.data<float>(), width, y_t);
      } else {
        std::fill_n(y_t, width, 0.0f);
      }
    }
  });
}

// sums[o] += the sum of dy[t][o] over all tokens, for one block of columns.
constexpr std::int64_t column_block = 512;

void add_column_sums(const Tensor& dy, Part columns, float* sums) {
  std::array<double, column_block> total{};
  const std::int64_t width = columns.end - columns.begin;
  for (std::int64_t t = 0; t < dy.dim(0); ++t) {
    const float* dy_t = dy.data<float>() + t * dy.stride(0) + columns.begin;
#pragma omp simd
    for (std::int64_t o = 0; o < width; ++o) total[static_cast<std::size_t>(o)] += double(dy_t[o]);
  }
  for (std::int64_t o = 0; o < width; ++o) {
    sums[columns.begin + o] += static_cast<float>(total[static_cast<std::size_t>(o)]);
  }
}

}  // namespace

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y) {
  // The product accumulates onto the bias. A product over nothing is not left to oneDNN.
  const bool prefilled = bias || x.dim(1) == 0;
  if (prefilled) fill_rows(stream, bias, y);
  if (x.dim(1) > 0) multiply(stream, {x}, {weight, true}, prefilled ? 1.0f : 0.0f, y);
}

void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx) {
  if (dy.dim(1) == 0) return fill_rows(stream, Tensor(), dx);
  multiply(stream, {dy}, {weight}, 0.0f, dx);
}

void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  if (dy.dim(0) == 0) return;
  multiply(stream, {dy, true}, {x}, 1.0f, dweight);
  if (!dbias) return;
  for_each_part(stream, dy.dim(1), line_floats, [&](Part columns, int) {
    for (std::int64_t begin = columns.begin; begin < columns.end; begin += column_block) {
      const Part block = {begin, std::min(columns.end, begin + column_block)};
      add_column_sums(dy, block, dbias.data<float>());
    }
  });
}

}  // namespace masformer::cpu
