// A matrix as a factor of a product.
#pragma once

#include <cstdint>

#include "runtime/tensor.h"

namespace masformer {

// As it is stored, or transposed. Row-major; its rows may lie apart.
struct Factor {
  Tensor matrix;
  bool transposed = false;

  std::int64_t rows() const { return matrix.dim(transposed ? 1 : 0); }
  std::int64_t columns() const { return matrix.dim(transposed ? 0 : 1); }
};

}  // namespace masformer
