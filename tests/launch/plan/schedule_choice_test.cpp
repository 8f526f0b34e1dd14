#include "launch/plan/schedule_choice.h"

#include <gtest/gtest.h>

namespace masformer {
namespace {

TEST(PartMemory, IsOneUnitPerBlock) {
  const auto memory = part_memory({{0, 3}, {3, 4}});
  EXPECT_EQ(memory[0].until_input, 3);
  EXPECT_EQ(memory[1].until_weight, 1);
}

}  // namespace
}  // namespace masformer
