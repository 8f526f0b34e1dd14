// Products on the CPU, by oneDNN. fp32 uses sgemm, which needs no descriptors and was faster on
// average than the matmul primitive; the bias is written to y first, and the product accumulates on
// it. bf16 goes through the matmul primitive, which has the bias and the sum as attributes. The
// bias's gradient is a pass of its own over dy, summed in double.
#include <algorithm>
#include <array>
#include <new>
#include <unordered_map>

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "runtime/error.h"
#include "runtime/ops/backend_cpu.h"
#include "runtime/ops/factor.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/parallel_cpu.h"
#include "runtime/ops/vector_loop_cpu.h"

namespace masformer::cpu {
namespace {

// While an object exists, OpenMP's number of threads in this thread is the stream's, because oneDNN
// uses that setting.
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

char letter_of(const Factor& factor) {
  return factor.transposed ? 'T' : 'N';
}

// oneDNN allocates its own copies of factors in each product.
void check_memory(dnnl_status_t status) {
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
}

// c = a b + beta c in fp32. On average over the shapes of a 768-wide model, sgemm was faster than
// the matmul primitive. It also accepts any row strides and a beta.
void multiply_fp32(const Factor& a, const Factor& b, float beta, const Tensor& c) {
  const dnnl_status_t status =
      dnnl_sgemm(letter_of(a), letter_of(b), c.dim(0), c.dim(1), a.columns(), 1.0f,
                 a.matrix.data<float>(), a.matrix.stride(0), b.matrix.data<float>(),
                 b.matrix.stride(0), beta, c.data<float>(), c.stride(0));
  check_memory(status);
  require(status == dnnl_success, "oneDNN refused a product into {}: {}", c.shape(),
          static_cast<int>(status));
}

dnnl::memory as_memory(const Tensor& x, dnnl::memory::dims dims, dnnl::memory::dims strides,
                       const dnnl::engine& engine) {
  const bool half = x.dtype() == DType::bf16;
  const auto type = half ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  return {{dims, type, strides}, engine, x.raw()};
}

dnnl::memory as_memory(const Factor& factor, const dnnl::engine& engine) {
  const std::int64_t stride = factor.matrix.stride(0);
  return as_memory(
      factor.matrix, {factor.rows(), factor.columns()},
      factor.transposed ? dnnl::memory::dims{1, stride} : dnnl::memory::dims{stride, 1}, engine);
}

// c = a b + row + beta c for bf16 factors and beta 0 or 1; c is bf16 or fp32, and `row` may be
// empty. oneDNN caches the primitives that it makes.
void multiply_bf16(const Factor& a, const Factor& b, const Tensor& row, float beta,
                   const Tensor& c) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  dnnl::primitive_attr attributes;
  if (beta != 0) {
    dnnl::post_ops add;
    add.append_sum(beta);
    attributes.set_post_ops(add);
  }
  const dnnl::memory left = as_memory(a, engine);
  const dnnl::memory right = as_memory(b, engine);
  const dnnl::memory result = as_memory({c}, engine);
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, result}};
  dnnl::memory::desc bias;
  if (row) {
    const dnnl::memory memory = as_memory(row, {1, row.dim(0)}, {row.dim(0), 1}, engine);
    bias = memory.get_desc();
    arguments.emplace(DNNL_ARG_BIAS, memory);
  }
  const dnnl::matmul::desc description(left.get_desc(), right.get_desc(), bias, result.get_desc());
  try {
    dnnl::matmul({description, attributes, engine}).execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    check_memory(error.status);
    fail("oneDNN refused a product into {}: {}", c.shape(), error.what());
  }
}

// Sets every row of y to `row`, or to zeros if that is empty.
void fill_rows(const Stream& stream, Tensor row, Tensor y) {
  const std::int64_t width = y.dim(1);
  with_float_type(y.dtype(), [&]<class T>(T) {
    for_each_part(stream, y.dim(0), 1, [&](Part tokens, int) {
      for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
        T* y_t = y.data<T>() + t * y.stride(0);
        if (row) {
          std::copy_n(row.data<T>(), width, y_t);
        } else {
          std::fill_n(y_t, width, T(0.0f));
        }
      }
    });
  });
}

// sums[o] += the sum of dy[t][o] over all tokens, for one block of columns.
constexpr std::int64_t column_block = 512;

void add_column_sums(const Tensor& dy, Part columns, float* sums) {
  std::array<double, column_block> total{};
  std::array<float, column_block> scratch;
  const std::int64_t width = columns.end - columns.begin;
  for (std::int64_t t = 0; t < dy.dim(0); ++t) {
    const float* dy_t = widened(dy, t * dy.stride(0) + columns.begin, width, scratch.data());
#pragma omp simd
    for (std::int64_t o = 0; o < width; ++o) total[static_cast<std::size_t>(o)] += double(dy_t[o]);
  }
  for (std::int64_t o = 0; o < width; ++o) {
    sums[columns.begin + o] += static_cast<float>(total[static_cast<std::size_t>(o)]);
  }
}

}  // namespace

bool supports_matmul(const Stream&, DType dtype) {
  if (dtype == DType::f32) return true;
  using dnnl::memory;
  const memory::desc square({16, 16}, memory::data_type::bf16, memory::format_tag::ab);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl_primitive_desc_t found = nullptr;
  const dnnl::matmul::desc description(square, square, square);
  const dnnl_status_t status =
      dnnl_primitive_desc_create(&found, &description.data, nullptr, engine.get(), nullptr);
  if (status == dnnl_success) dnnl_primitive_desc_destroy(found);
  return status == dnnl_success;
}

void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y, Tensor residual) {
  if (residual) {
    cpu::linear(stream, x, weight, {}, y, {});
    return cpu::add_residual(stream, residual, bias, y, y);
  }
  // With 0 inputs the product is 0, and oneDNN is not called.
  if (x.dim(1) == 0) return fill_rows(stream, bias, y);
  if (y.elements() == 0) return;
  const ThreadsOfStream threads(stream);
  if (x.dtype() == DType::bf16) return multiply_bf16({x}, {weight, true}, bias, 0.0f, y);
  if (bias) fill_rows(stream, bias, y);  // the product accumulates onto it
  multiply_fp32({x}, {weight, true}, bias ? 1.0f : 0.0f, y);
}

void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx) {
  if (dy.dim(1) == 0) return fill_rows(stream, Tensor(), dx);
  if (dx.elements() == 0) return;
  const ThreadsOfStream threads(stream);
  if (dy.dtype() == DType::bf16) return multiply_bf16({dy}, {weight}, {}, 0.0f, dx);
  multiply_fp32({dy}, {weight}, 0.0f, dx);
}

void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias) {
  if (dy.dim(0) == 0) return;
  if (dweight.elements() > 0) {
    const ThreadsOfStream threads(stream);
    if (dy.dtype() == DType::bf16) {
      multiply_bf16({dy, true}, {x}, {}, 1.0f, dweight);
    } else {
      multiply_fp32({dy, true}, {x}, 1.0f, dweight);
    }
  }
  if (!dbias) return;
  for_each_part(stream, dy.dim(1), line_elements, [&](Part columns, int) {
    for (std::int64_t begin = columns.begin; begin < columns.end; begin += column_block) {
      const Part block = {begin, std::min(columns.end, begin + column_block)};
      add_column_sums(dy, block, dbias.data<float>());
    }
  });
}

}  // namespace masformer::cpu
