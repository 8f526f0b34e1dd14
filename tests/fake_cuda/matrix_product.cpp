#include "tests/fake_cuda/matrix_product.h"

#include <cmath>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "runtime/bfloat16.h"
#include "tests/fake_cuda/report.h"

namespace fake_cuda {
namespace {

using masformer::bfloat16;

float load(const Matrix& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t at = column * matrix.ld + row;
  if (matrix.type == CUDA_R_16BF) return static_cast<const bfloat16*>(matrix.data)[at];
  return static_cast<const float*>(matrix.data)[at];
}

void store(float value, const Matrix& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t at = column * matrix.ld + row;
  if (matrix.type == CUDA_R_16BF) {
    static_cast<bfloat16*>(matrix.data)[at] = bfloat16(value);
  } else {
    static_cast<float*>(matrix.data)[at] = value;
  }
}

// A matrix in fp32: itself, or a copy without gaps.
class Floats {
 public:
  explicit Floats(const Matrix& matrix) : matrix_(matrix) {
    if (matrix.type == CUDA_R_32F) return;
    copy_.resize(static_cast<std::size_t>(matrix.rows * matrix.columns));
    matrix_ = {copy_.data(), CUDA_R_32F, matrix.rows, matrix.columns, matrix.rows};
#pragma omp parallel for
    for (std::int64_t j = 0; j < matrix.columns; ++j)
      for (std::int64_t i = 0; i < matrix.rows; ++i) store(load(matrix, i, j), matrix_, i, j);
  }
  const float* data() const {
    return static_cast<const float*>(matrix_.data);
  }
  std::int64_t ld() const {
    return matrix_.ld;
  }

 private:
  std::vector<float> copy_;
  Matrix matrix_;
};

// oneDNN's product is row-major, so it computes the transpose: b^T a^T.
void sum(const MatrixProduct& p, const Matrix& sums) {
  const Floats a(p.a), b(p.b);
  const dnnl_status_t status = dnnl_sgemm(p.b_transposed ? 'T' : 'N', p.a_transposed ? 'T' : 'N',
                                          p.n(), p.m(), p.k(), p.alpha, b.data(), b.ld(), a.data(),
                                          a.ld(), 0.0f, static_cast<float*>(sums.data), sums.ld);
  if (status != dnnl_success) report("oneDNN refuses a product: {}", static_cast<int>(status));
}

// x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3)
constexpr float root = 0.797884561f, cubic = 0.044715f;

float gelu(float x) {
  return x / 2 * (1 + std::tanh(root * (x + cubic * x * x * x)));
}

float gelu_slope(float x) {
  const float t = std::tanh(root * (x + cubic * x * x * x));
  return (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * cubic * x * x);
}

// The element to store in d. With `with_aux`, stores its value before GELU in p.aux.
float finished(const MatrixProduct& p, float value, std::int64_t i, std::int64_t j) {
  if (p.beta != 0) value += p.beta * load(p.c, i, j);
  if (p.epilogue & with_bias) value += load(p.bias, i, 0);
  if (p.epilogue & with_gelu_slope) return value * gelu_slope(load(p.aux, i, j));
  if (p.epilogue & with_aux) store(value, p.aux, i, j);
  return p.epilogue & with_gelu ? gelu(value) : value;
}

}  // namespace

std::int64_t size_of(cudaDataType_t type) {
  return type == CUDA_R_16BF ? 2 : 4;
}

std::int64_t Matrix::bytes() const {
  return ((columns - 1) * ld + rows) * size_of(type);
}

void multiply(const MatrixProduct& p) {
  std::vector<float> memory(static_cast<std::size_t>(p.m() * p.n()));
  const Matrix sums{memory.data(), CUDA_R_32F, p.m(), p.n(), p.m()};
  sum(p, sums);
#pragma omp parallel for
  for (std::int64_t j = 0; j < p.n(); ++j)
    for (std::int64_t i = 0; i < p.m(); ++i) store(finished(p, load(sums, i, j), i, j), p.d, i, j);
}

}  // namespace fake_cuda
