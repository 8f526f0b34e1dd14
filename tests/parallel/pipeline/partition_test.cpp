#include "parallel/pipeline/partition.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

std::vector<int> sizes_of(const Partition& partition) {
  std::vector<int> sizes;
  for (const LayerRange& range : partition) sizes.push_back(range.size());
  return sizes;
}

void expect_every_layer_once(const Partition& partition, int layers, int stages) {
  ASSERT_EQ(std::ssize(partition), stages);
  int next = 0;
  for (const LayerRange& range : partition) {
    ASSERT_EQ(range.begin, next);
    ASSERT_GT(range.size(), 0);
    next = range.end;
  }
  ASSERT_EQ(next, layers);
}

std::string refusal(std::string_view text, int layers, int stages) {
  try {
    make_partition(text, layers, stages);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

void expect_words(const std::string& message, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
  }
}

TEST(EvenPartition, HoldsEveryLayerOnceInRangesThatDifferByAtMostOne) {
  for (int layers = 1; layers <= 30; ++layers) {
    for (int stages = 1; stages <= std::min(layers, 8); ++stages) {
      const Partition partition = even_partition(layers, stages);
      expect_every_layer_once(partition, layers, stages);
      const std::vector<int> sizes = sizes_of(partition);
      EXPECT_TRUE(std::is_sorted(sizes.rbegin(), sizes.rend())) << "longer ones first";
      EXPECT_LE(sizes.front() - sizes.back(), 1);
      EXPECT_EQ(make_partition("even", layers, stages), partition);
      EXPECT_EQ(make_partition("auto", layers, stages), partition);
      if (stages % 2 != 0) continue;
      EXPECT_EQ(even_partition(layers, stages / 2, 2), partition);
      EXPECT_EQ(make_partition("auto", layers, 2, stages / 2), partition);
    }
  }
}

TEST(EvenPartition, PrintsItsRanges) {
  EXPECT_EQ(to_string(even_partition(24, 5)[1]), "layers 5-9");
  EXPECT_EQ(to_string(even_partition(3, 2)[1]), "layer 2");
}

TEST(EvenPartition, RefusesFewerLayersThanStages) {
  for (int stages = 2; stages <= 8; ++stages) {
    for (int layers = 0; layers < stages; ++layers) {
      EXPECT_THROW(even_partition(layers, stages), UsageError);
    }
  }
  expect_words(refusal("even", 3, 4), {"model.layers=3", "parallel.pipeline=4", "at most 3"});
}

TEST(GivenPartition, HoldsTheGivenCounts) {
  EXPECT_EQ(sizes_of(make_partition("7,6,6,5", 24, 4)), (std::vector<int>{7, 6, 6, 5}));
  EXPECT_EQ(sizes_of(make_partition(" 1, 2 ", 3, 2)), (std::vector<int>{1, 2}));
  EXPECT_EQ(sizes_of(make_partition("24", 24, 1)), (std::vector<int>{24}));
  expect_every_layer_once(make_partition("1,1,22", 24, 3), 24, 3);
}

TEST(GivenPartition, RefusesWrongCountsAndNamesThem) {
  expect_words(refusal("8,8,9", 24, 3), {"8,8,9", "25 layers", "model.layers=24"});
  expect_words(refusal("12,12", 24, 3), {"12,12", "2 counts", "parallel.pipeline=3"});
  for (const std::string_view text : {"24,0", "-1,25", "12,x", "12,", ",24", "", "12;12", "12.0,12",
                                      "1 2,12", "99999999999,1", "2000000000,2"}) {
    expect_words(refusal(text, 24, 2), {"parallel.partition=", "positive number of layers"});
  }
}

}  // namespace
}  // namespace masformer
