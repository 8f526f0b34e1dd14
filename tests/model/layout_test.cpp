// Compares layouts with one rank, in cases chosen at boundaries; layout_sample_test.cpp draws them
// at random. Also tests the comparison: it must find faults that are made on purpose.
#include <gtest/gtest.h>

#include "tests/support/has_bf16.h"
#include "tests/support/layout_cases.h"
#include "tests/support/layout_comparison.h"
#include "tests/support/layout_mutations.h"
#include "tests/support/world.h"

namespace masformer::test {
namespace {

void expect_none(const std::vector<std::string>& differences) {
  for (const std::string& difference : differences) ADD_FAILURE() << difference;
}

TEST(Layout, ComputesWhatOneRankComputes) {
  ASSERT_FALSE(boundary_cases().empty()) << "no case for " << world().size() << " ranks";
  share_one_rank_records(boundary_cases());
  for (const LayoutCase& c : boundary_cases()) {
    SCOPED_TRACE(testing::Message() << c);
    expect_none(differences_from_one_rank(c));
  }
}

TEST(Layout, RoundsInBf16AsOneRankDoes) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  std::vector<LayoutCase> cases = boundary_cases();
  std::erase_if(cases, [](const auto& c) { return c.schedule != "1f1b" || c.sequence < 24; });
  for (LayoutCase& c : cases) c.dtype = DType::bf16;
  share_one_rank_records(cases);
  for (const LayoutCase& c : cases) {
    SCOPED_TRACE(testing::Message() << c);
    expect_none(differences_in_bf16(c));
  }
}

TEST(Layout, RecomputationTakesLessMemoryAndChangesNoBit) {
  for (const LayoutCase& c : boundary_cases()) {
    if (c.partition != "even" || c.spans != LayoutCase{}.spans || c.recompute != "none") continue;
    for (const char* const recompute : {"selective", "block", "block,none,selective,block"}) {
      SCOPED_TRACE(testing::Message() << c << ", then " << recompute);
      expect_none(differences_by_recomputation(c, recompute));
    }
  }
}

using Compare = std::vector<std::string> (*)(const LayoutCase&, const Mutation&);

// Some rank must find each fault, and none may find a fault in a correct run.
void expect_found(const LayoutCase& c, Compare compare) {
  SCOPED_TRACE(testing::Message() << c);
  const auto found = [&](const Mutation& mutation) {
    return sum_over(world(), double(compare(c, mutation).size()));
  };
  EXPECT_EQ(found({}), 0);
  for (const Broken& broken : broken_runs(c)) EXPECT_GT(found(broken.mutation), 0) << broken.what;
}

TEST(Comparison, FindsEveryFaultMadeOnPurpose) {
  if (cases_to_break().empty()) GTEST_SKIP() << "two ranks and four are enough";
  for (const LayoutCase& c : cases_to_break()) expect_found(c, differences_from_one_rank);
}

// The same faults. The comparison in bf16 can't find a fault that changes a gradient by less than
// its rounding, such as a slightly wrong scale; the one in fp32 does.
TEST(Comparison, FindsEveryFaultMadeOnPurposeInBf16) {
  if (!has_bf16()) GTEST_SKIP() << no_bf16;
  if (cases_to_break().empty()) GTEST_SKIP() << "two ranks and four are enough";
  for (const LayoutCase& c : cases_to_break()) expect_found(c, differences_in_bf16);
}

}  // namespace
}  // namespace masformer::test
