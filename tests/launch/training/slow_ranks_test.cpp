// Which ranks are called slow: those that take longer than their peers in most of the last steps.
#include "launch/training/slow_ranks.h"

#include <gtest/gtest.h>

namespace masformer {
namespace {

using Busy = std::vector<double>;

std::vector<int> ranks_of(const std::optional<std::vector<SlowRank>>& slow) {
  std::vector<int> ranks;
  if (!slow) return {-1};
  for (const SlowRank& each : *slow) ranks.push_back(each.rank);
  return ranks;
}

const std::vector<int> nothing_new{-1}, nobody{};

// Adds steps until the slow ranks change. Returns them, and how many steps that took; `nothing_new`
// if they don't change within `steps`.
std::pair<std::vector<int>, int> add(SlowRanks& ranks, const Busy& busy, int steps) {
  for (int step = 1; step <= steps; ++step) {
    const auto slow = ranks.add(busy);
    if (slow) return {ranks_of(slow), step};
  }
  return {nothing_new, steps};
}

TEST(SlowRanks, NamesARankThatIsSlowInMostOfTheLastSteps) {
  SlowRanks ranks({0, 0, 0, 0});
  std::optional<std::vector<SlowRank>> slow;
  for (std::size_t step = 1; step <= SlowRanks::window; ++step) {
    slow = ranks.add({1, 2, 1.1, step % 4 == 0 ? 9 : 1.2});  // rank 3: only now and then
    EXPECT_EQ(slow.has_value(), step == SlowRanks::window);
  }
  ASSERT_EQ(ranks_of(slow), std::vector<int>{1});
  EXPECT_EQ(slow->front().peers, 3);
  EXPECT_EQ(slow->front().seconds, 2);
  EXPECT_EQ(slow->front().peer_seconds, 1.1);
}

TEST(SlowRanks, SaysItOnceAndAgainIfItChanges) {
  SlowRanks ranks({0, 0, 0});
  const Busy even{1, 1, 1}, slow_last{1, 1, 2}, both{1, 5, 5};
  EXPECT_EQ(add(ranks, even, 100).first, nothing_new);
  EXPECT_EQ(add(ranks, slow_last, 100), std::pair(std::vector{2}, SlowRanks::becomes));
  EXPECT_EQ(add(ranks, slow_last, 100).first, nothing_new);
  // It stays slow while a good part of the steps are, and is then no longer.
  EXPECT_EQ(add(ranks, even, 100), std::pair(nobody, 20 - SlowRanks::stays + 1));
  EXPECT_EQ(add(ranks, slow_last, 100).first, std::vector{2});
  // Two of three: the median of a rank's peers is between 1 and 5.
  EXPECT_EQ(add(ranks, both, 100).first, (std::vector<int>{1, 2}));
}

TEST(SlowRanks, ComparesOnlyRanksOfOneGroup) {
  SlowRanks stages({0, 0, 1, 1, 2});
  EXPECT_EQ(add(stages, {1, 1, 4, 4, 9}, 100).first, nothing_new);
  EXPECT_EQ(add(stages, {1, 1, 4, 6, 9}, 100).first, std::vector{3});
}

TEST(SlowRanks, NoneIsSlowBelowTheFactorOrWithoutTimes) {
  SlowRanks ranks({0, 0, 0});
  EXPECT_EQ(add(ranks, {1, 1, 1.29}, 100).first, nothing_new);
  EXPECT_EQ(add(ranks, {0, 0, 0}, 100).first, nothing_new);
}

// Contiguous parts give the last context ranks more pairs than the first ones, without any fault.
TEST(SlowRanks, ContextRanksOfUnequalWorkAreNoPeers) {
  Options options;
  options.train.sequence = 256;
  options.parallel.context = 2;
  options.parallel.context_full = ContextFull::ring;  // by heads, their work is always equal
  const auto groups = [&](ContextOrder order) {
    options.parallel.context_order = order;
    return groups_of_equal_work(make_run_plan(options, 4, 300));
  };
  EXPECT_EQ(groups(ContextOrder::zigzag), (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(groups(ContextOrder::contiguous), (std::vector<int>{0, 1, 0, 1}));
  options.parallel.pipeline = 2;
  EXPECT_EQ(groups(ContextOrder::zigzag), (std::vector<int>{0, 0, 1, 1}));
}

TEST(SlowRanks, AreDescribedWithHostStageAndFigures) {
  const Mesh mesh{.pipe = 2, .tensor = 2};
  const std::vector<std::string> hosts{"a", "a", "b", "b"};
  EXPECT_EQ(
      describe({{.rank = 3, .peers = 1, .seconds = 0.25, .peer_seconds = 0.125}}, hosts, mesh),
      "rank 3 on b (stage 1, data 0, context 0, tensor 1) is slow: it computes 0.250 s in a "
      "step, its peer 0.125 s; all ranks wait for the slowest: look there for other "
      "programs, heat or a failing device, or leave that host out");
  EXPECT_EQ(describe({}, hosts, mesh), "no rank is slow any more");
}

}  // namespace
}  // namespace masformer
