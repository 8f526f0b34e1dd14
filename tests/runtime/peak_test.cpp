#include "runtime/peak.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "runtime/ops/linear.h"
#include "tests/support/tensors.h"

namespace masformer::test {
namespace {

// Slower than any core, however busy, and faster than any machine.
constexpr double slowest = 1e6, fastest = 1e17;

TEST(Peak, OneCoreComputesAtAPlausibleRate) {
  const double flops = measure_peak_flops(1, 0.01);
  EXPECT_GT(flops, slowest);
  EXPECT_LT(flops, fastest);
}

TEST(Peak, ProductsOfEachDtypeRunAtAPlausibleRate) {
  const Stream stream(device(), 2);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (!supports_matmul(stream, dtype)) continue;
    const double flops = measure_matmul_flops(stream, dtype, 0.01);
    EXPECT_GT(flops, slowest) << name_of(dtype);
    EXPECT_LT(flops, fastest) << name_of(dtype);
  }
}

TEST(Peak, RefusesProductsOfIntegers) {
  EXPECT_THROW(measure_matmul_flops(Stream(device()), DType::i32), Error);
}

}  // namespace
}  // namespace masformer::test
