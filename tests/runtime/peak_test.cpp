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
  const double fp32 = measure_peak_flops(DType::f32, 1, 0.01);
  EXPECT_GT(fp32, slowest);
  EXPECT_LT(fp32, fastest);
  const double bf16 = measure_peak_flops(DType::bf16, 1, 0.01);
  EXPECT_GT(bf16, fp32 / 4) << "others may use the core";
  EXPECT_LT(bf16, fastest);
}

// No product may exceed what its shares are of.
TEST(Peak, OfBf16IsNotBelowWhatProductsReach) {
  const Stream stream(Device::cpu, 1);
  if (!supports_matmul(stream, DType::bf16)) GTEST_SKIP() << "this CPU has no products in bf16";
#if defined(__AMX_BF16__)
  GTEST_SKIP() << "products use the tiles of AMX";
#endif
  EXPECT_GT(measure_peak_flops(DType::bf16, 1, 0.05),
            0.9 * measure_matmul_flops(stream, DType::bf16, 0.05));
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
