#include "parallel/pipeline/placement.h"

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

using Parts = std::vector<std::vector<int>>;

TEST(Placement, FindsTheStageAndChunkOfEachPart) {
  for (int stages = 1; stages <= 5; ++stages) {
    for (const Placement& placement :
         {Placement::round_robin(stages), Placement::round_robin(stages, 3),
          Placement::v_shape(stages)}) {
      ASSERT_EQ(placement.parts(), stages * placement.chunks());
      for (int part = 0; part < placement.parts(); ++part) {
        const auto [stage, chunk] = placement.place(part);
        EXPECT_EQ(placement.part(stage, chunk), part);
        EXPECT_TRUE(placement.holds(stage, part));
        EXPECT_EQ(placement.holds((stage + 1) % stages, part), stages == 1);
      }
      EXPECT_FALSE(placement.holds(0, -1));
      EXPECT_FALSE(placement.holds(0, placement.parts()));
    }
  }
}

TEST(Placement, EqualsTheFiguresOfThePapers) {
  EXPECT_EQ(Placement::round_robin(3), Placement(Parts{{0}, {1}, {2}}));
  EXPECT_EQ(Placement::round_robin(2, 2), Placement(Parts{{0, 2}, {1, 3}}));
  EXPECT_EQ(Placement::v_shape(3), Placement(Parts{{0, 5}, {1, 4}, {2, 3}}));
}

TEST(Placement, RefusesMissingRepeatedOrUnorderedParts) {
  for (const Parts& parts : {Parts{}, Parts{{}}, Parts{{0}, {0}}, Parts{{0, 1}, {2}},
                             Parts{{0, 2}, {1, 4}}, Parts{{-1}}, Parts{{1, 0}}}) {
    EXPECT_THROW(Placement{parts}, Error);
  }
}

// The embedding and the head may share a table, and only the first and the last stage sum it.
TEST(Placement, RefusesEndsOfTheModelOnStagesInBetween) {
  for (const Parts& parts :
       {Parts{{1}, {0}, {2}}, Parts{{0}, {2}, {1}}, Parts{{0, 1}, {2, 5}, {3, 4}}}) {
    EXPECT_THROW(Placement{parts}, Error);
  }
}

}  // namespace
}  // namespace masformer
