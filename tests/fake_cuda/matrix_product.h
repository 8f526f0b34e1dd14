// A matrix product with an epilogue, as cuBLASLt defines it, on the host.
#pragma once

#include <cstdint>
#include <cublasLt.h>

namespace fake_cuda {

// Column-major: columns are `ld` elements apart. fp32 or bf16.
struct Matrix {
  void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t rows = 0, columns = 0, ld = 0;

  // From the first element to the last, including the gaps between columns.
  std::int64_t bytes() const;
};

std::int64_t size_of(cudaDataType_t type);

// d [m, n] = epilogue(alpha op(a) op(b) + beta c), summed and finished in fp32, rounded once.
struct MatrixProduct {
  Matrix a, b, c, d;
  bool a_transposed = false, b_transposed = false;
  float alpha = 1, beta = 0;  // c is not read if beta is 0
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  Matrix bias;  // [m, 1]
  Matrix aux;   // [m, n]

  std::int64_t m() const { return d.rows; }
  std::int64_t n() const { return d.columns; }
  std::int64_t k() const { return a_transposed ? a.rows : a.columns; }
};

// Bits of an epilogue.
constexpr std::uint32_t with_bias = 4, with_gelu = 32, with_gelu_slope = 64, with_aux = 128;

void multiply(const MatrixProduct& product);

}  // namespace fake_cuda
