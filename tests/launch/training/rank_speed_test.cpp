// The lines of the start page about the speed of products.
#include "launch/training/rank_speed.h"

#include <gtest/gtest.h>

#include "parallel/comm/self_communicator.h"
#include "tests/support/has_bf16.h"

namespace masformer::test {
namespace {

TEST(MatmulSpeed, IsMeasuredForEachDtypeThatTheCpuHas) {
  SelfCommunicator world;
  const MatmulSpeed speed = measure_matmul_speed(Stream(Device::cpu), world);
  EXPECT_GT(speed.fp32, 0);
  EXPECT_EQ(speed.bf16.has_value(), has_bf16());
}

TEST(MatmulSpeed, WarnsOnlyWhereBf16IsUsedAndSlower) {
  const MatmulSpeed slower{.fp32 = 130e9, .bf16 = 65e9}, faster{.fp32 = 130e9, .bf16 = 260e9};
  const std::string rates = "matmul    fp32 130 GFLOP/s, bf16 65 GFLOP/s, per rank, measured\n";
  EXPECT_EQ(describe(slower, DType::f32), rates);
  EXPECT_EQ(describe(slower, DType::bf16),
            rates +
                "warning   train.dtype=bf16 is slower than fp32 on this CPU: its products run at "
                "0.50 of fp32's speed\n");
  EXPECT_EQ(describe(faster, DType::bf16),
            "matmul    fp32 130 GFLOP/s, bf16 260 GFLOP/s, per rank, measured\n");
  EXPECT_EQ(describe({.fp32 = 50e9, .bf16 = {}}, DType::f32),
            "matmul    fp32 50 GFLOP/s, per rank, measured; this CPU has no bf16 products\n");
}

}  // namespace
}  // namespace masformer::test
