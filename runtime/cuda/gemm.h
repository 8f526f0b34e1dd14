// A matrix product (GEMM) as a value: row-major matrices, whose rows may lie apart.
#pragma once

#include <cstdint>

#include "runtime/ops/factor.h"
#include "runtime/tensor.h"

namespace masformer::cuda {

// What is computed from the sums before they are rounded and stored.
enum class Epilogue : std::uint8_t {
  none,
  gelu,          // before = a b + bias, c = gelu(before)
  gelu_backward  // c = a b gelu'(before)
};

// c [M, N] = a [M, K] b [K, N] + addend + bias, summed in fp32. The factors have one dtype, c has
// the same or fp32. No dimension is 0.
struct Gemm {
  Factor a, b;
  Tensor c;
  Tensor addend = {};  // [M, N], of c's dtype: c itself, or no overlap; empty for none
  Tensor bias = {};    // [N], of c's dtype; empty for none
  Epilogue epilogue = Epilogue::none;
  Tensor before = {};  // [M, N], of c's dtype: written by gelu, read by gelu_backward
};

}  // namespace masformer::cuda
