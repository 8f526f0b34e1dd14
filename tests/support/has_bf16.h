// For tests in bf16: on devices without bf16 products they skip such cases and say so.
#pragma once

#include <cstdio>
#include <vector>

#include "runtime/ops/linear.h"
#include "tests/support/tensors.h"

namespace masformer::test {

inline constexpr const char* no_bf16 =
    "no test in bf16: this device has no products of it (a CPU's take AVX-512)";

inline bool has_bf16() {
  return supports_matmul(Stream(device()), DType::bf16);
}

// Removes the cases that can't run here.
template <class Case>
void drop_bf16_unless_possible(std::vector<Case>& cases) {
  if (has_bf16()) return;
  const auto dropped = std::erase_if(cases, [](const Case& c) { return c.dtype == DType::bf16; });
  if (dropped > 0) std::printf("%zu of the cases are left out: %s\n", dropped, no_bf16);
}

}  // namespace masformer::test
