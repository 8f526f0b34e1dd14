// JSON as text between ranks, and for people.
#include "parallel/comm/json_text.h"

#include <gtest/gtest.h>

#include "tests/support/world.h"

namespace masformer {
namespace {

using test::world;

TEST(AllGatherJson, GivesEachRanksValueInTheirOrder) {
  const auto all = all_gather_json(world(), {{"rank", world().rank()}, {"null", nullptr}});
  ASSERT_EQ(std::ssize(all), world().size());
  for (int rank = 0; rank < world().size(); ++rank) {
    EXPECT_EQ(all[static_cast<std::size_t>(rank)],
              (nlohmann::json{{"rank", rank}, {"null", nullptr}}));
  }
}

// A path that is not UTF-8 must not throw on one rank while the others wait.
TEST(AllGatherJson, ReplacesBytesThatAreNotUtf8) {
  for (const nlohmann::json& text : all_gather_json(world(), "caf\xe9")) {
    EXPECT_EQ(text, "caf\xef\xbf\xbd");
  }
}

TEST(JsonWords, EqualTheLineExceptForQuotesOfAString) {
  EXPECT_EQ(json_line({{"a", "b"}, {"c", {1, 2}}}), R"({"a":"b","c":[1,2]})");
  EXPECT_EQ(json_line("a"), "\"a\"");
  EXPECT_EQ(json_words("a"), "a");
  EXPECT_EQ(json_words(1.5), "1.5");
}

}  // namespace
}  // namespace masformer
