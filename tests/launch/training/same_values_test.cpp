// How ranks are told what they should share but do not.
#include "launch/training/same_values.h"

#include <gtest/gtest.h>

#include "parallel/comm/collective_errors.h"
#include "tests/support/world.h"

namespace masformer {
namespace {

using test::world;

// The message if rank 0 has the first values and rank 1 the second ones; "" if there is none.
std::string difference(const NamedValues& first, const NamedValues& second) {
  try {
    require_same_values(world(), world().rank() == 0 ? first : second, "mend it");
  } catch (const AgreedUsageError& error) {
    return error.what();
  }
  return "";
}

TEST(SameValues, PassesEqualOnesInAnyOrder) {
  EXPECT_EQ(difference({{"a", "1"}, {"b", "2"}}, {{"b", "2"}, {"a", "1"}}), "");
}

TEST(SameValues, NamesAllThatDifferOrAreMissing) {
  EXPECT_EQ(difference({{"a", "1"}, {"b", "2"}, {"c", "3"}}, {{"c", "4"}, {"d", "5"}, {"a", "1"}}),
            "rank 1: c=4 here, but 3 on rank 0\n"
            "d=5 here, but nothing on rank 0\n"
            "b=2 on rank 0, but nothing here: mend it");
}

TEST(SameValues, ShowsWhereLongOnesDiffer) {
  const std::string head(100, 'a'), tail(100, 'z');
  EXPECT_EQ(difference({{"x", head + "1" + tail}}, {{"x", head + "2" + tail}}),
            "rank 1: x=..." + std::string(20, 'a') + "2" + std::string(39, 'z') +
                "... here, but ..." + std::string(20, 'a') + "1" + std::string(39, 'z') +
                "... on rank 0: mend it");
}

TEST(SameValues, LeavesOutAllButAFew) {
  NamedValues first, second;
  for (int i = 0; i < 9; ++i) {
    first.emplace_back(std::to_string(i), "a");
    second.emplace_back(std::to_string(i), "b");
  }
  const std::string message = difference(first, second);
  EXPECT_NE(message.find("4=b here, but a on rank 0\nand 4 more: mend it"), std::string::npos)
      << message;
}

}  // namespace
}  // namespace masformer
