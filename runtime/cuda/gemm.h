// A matrix product of row-major matrices whose rows may lie apart, as a value.
#pragma once

#include <cstdint>

#include "runtime/ops/factor.h"
#include "runtime/tensor.h"

namespace masformer::cuda {

// What becomes of the sums before they are rounded and stored.
enum class Epilogue : std::uint8_t {
  none,
  gelu,          // before = a b + bias, c = gelu(before)
  gelu_backward  // c = a b gelu'(before)
};

// c [M, N] = a [M, K] b [K, N] + addend + bias, summed in fp32. The factors are of one dtype, c is
// of the same or fp32. No dimension is 0.
struct Gemm {
  Factor a, b;
  Tensor c;
  Tensor addend = {};  // [M, N], of c's dtype: c itself or apart from it; an empty one is none
  Tensor bias = {};    // [N], of c's dtype; an empty one is none
  Epilogue epilogue = Epilogue::none;
  Tensor before = {};  // [M, N], of c's dtype: written by gelu, read by gelu_backward
};

}  // namespace masformer::cuda
