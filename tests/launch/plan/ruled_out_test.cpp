#include "launch/plan/ruled_out.h"

#include <gtest/gtest.h>

namespace masformer {
namespace {

TEST(RuledOutReasons, CountsTogetherWhatDiffersInNumbersAlone) {
  RuledOutReasons reasons;
  reasons.add("the axes do not divide the ranks");
  for (const char* const context : {"16", "32", "16"}) {
    reasons.add("parallel.context=" + std::string(context) + " does not divide 8: pick 1 or 8");
  }
  for (int i = 0; i < 2; ++i) reasons.add("parallel.tensor=3 does not divide 8: pick 1, 2 or 4");
  const std::vector<RuledOut> list = reasons.list();
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].summary(), "parallel.context=16 does not divide 8, and the like");
  EXPECT_EQ(list[0].message, "parallel.context=16 does not divide 8: pick 1 or 8");
  EXPECT_EQ(list[0].layouts, 3);
  EXPECT_EQ(list[1].summary(), "parallel.tensor=3 does not divide 8: pick 1, 2 or 4");
  EXPECT_EQ(list[1].layouts, 2);
  EXPECT_EQ(list[2].summary(), "the axes do not divide the ranks");
  EXPECT_EQ(list[2].layouts, 1);
}

}  // namespace
}  // namespace masformer
