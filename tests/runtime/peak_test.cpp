#include "runtime/peak.h"

#include <algorithm>

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
#if !defined(__AVX512BF16__) || defined(__AMX_BF16__) || defined(MASFORMER_SANITIZED)
  GTEST_SKIP() << "this build has no other peak in bf16, or products use the tiles of AMX, or a "
                  "sanitizer slows down what is no product";
#endif
  const Stream stream(Device::cpu, 1);
  double peak = 0, products = 0;
  for (int turn = 0; turn < 5; ++turn) {  // others may use the core
    peak = std::max(peak, measure_peak_flops(DType::bf16, 1, 0.01));
    products = std::max(products, measure_matmul_flops(stream, DType::bf16, 0.01));
  }
  EXPECT_GT(peak, products);
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
