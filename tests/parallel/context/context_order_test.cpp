// The order that is chosen, against all ways to give each rank two chunks.
#include "parallel/context/context_order.h"

#include <algorithm>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "runtime/error.h"

namespace masformer {
namespace {

constexpr double per_row = 1000;  // as on devices

using Layers = std::vector<ContextLayer>;
using Chunks = std::vector<std::vector<int>>;

Layers layers_of(std::string_view spans, ContextFull full = ContextFull::ring) {
  return context_layers(parse_spans(spans), full);
}

// Every assignment of 2 `ranks` chunks, two to a rank, up to the names of the ranks.
void add_pairings(std::vector<int> left, const Chunks& given, std::vector<Chunks>& all) {
  if (left.empty()) return all.push_back(given);
  for (std::size_t i = 1; i < left.size(); ++i) {
    std::vector<int> rest = left;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    rest.erase(rest.begin());
    Chunks more = given;
    more.push_back({left[0], left[i]});
    add_pairings(rest, more, all);
  }
}

std::vector<Chunks> pairings(int ranks) {
  std::vector<int> chunks(static_cast<std::size_t>(2 * ranks));
  std::iota(chunks.begin(), chunks.end(), 0);
  std::vector<Chunks> all;
  add_pairings(chunks, {}, all);
  return all;
}

struct Model {
  std::string spans;
  ContextFull full;
};

std::vector<Model> models() {
  std::vector<Model> all;
  for (const auto& [full, name] : enum_names<ContextFull>) {
    for (const char* const spans :
         {"full", "window:256", "window:1024", "block:512", "full*2,window:1024*6",
          "full*6,window:256*18", "full,window:1024*23", "full*8,window:1024*16",
          "window:256*3,window:3000"}) {
      all.push_back({spans, full});
    }
  }
  return all;
}

TEST(ContextOrder, CostsWithinTwoPercentOfTheBestAssignment) {
  for (const auto& [text, full] : models()) {
    SCOPED_TRACE(testing::Message() << "full layers by " << name_of(full));
    const Layers layers = layers_of(text, full);
    for (const auto& [ranks, row] : std::vector<std::pair<int, double>>{
             {2, 1000}, {3, 1000}, {4, 1000}, {5, 1000}, {2, 25}, {3, 25}, {4, 25}}) {
      const std::int64_t sequence = 2048L * ranks;
      const double chosen =
          cost_of(make_sharding(std::nullopt, sequence, ranks, {layers}, row), layers, row);
      double best = chosen;
      for (const Chunks& chunks : pairings(ranks)) {
        best = std::min(best, cost_of(SequenceSharding(sequence, chunks), layers, row));
      }
      EXPECT_LE(chosen, 1.02 * best) << text << " on " << ranks << " ranks";
      for (const auto& [order, name] : enum_names<ContextOrder>) {
        EXPECT_LE(chosen,
                  cost_of(make_sharding(order, sequence, ranks, {layers}, row), layers, row))
            << name;
      }
    }
  }
}

TEST(ContextOrder, FollowsTheSlowestStage) {
  const Layers windows = layers_of("window:64*8"), full = layers_of("full*8");
  EXPECT_EQ(make_sharding(std::nullopt, 8192, 4, {windows}, per_row),
            SequenceSharding::contiguous(8192, 4));
  EXPECT_EQ(make_sharding(std::nullopt, 8192, 4, {full}, per_row),
            SequenceSharding::zigzag(8192, 4));
  EXPECT_EQ(make_sharding(std::nullopt, 8192, 4, {windows, full, windows}, per_row),
            SequenceSharding::zigzag(8192, 4));
}

// By heads, full layers cost the same in every order, and windows then decide.
TEST(ContextOrder, IsContiguousForFullLayersByHeads) {
  for (const char* const spans : {"full*8", "full*2,window:64*2"}) {
    EXPECT_EQ(make_sharding(std::nullopt, 8192, 4, {layers_of(spans, ContextFull::heads)}, per_row),
              SequenceSharding::contiguous(8192, 4))
        << spans;
  }
  const ContextLayer full{Span{}, ContextFull::heads};
  for (const auto& sharding :
       {SequenceSharding::contiguous(64, 4), SequenceSharding::zigzag(64, 4)}) {
    for (int rank = 0; rank < 4; ++rank) {
      EXPECT_EQ(work_of(sharding, full, rank).pairs, 64 * 65 / 2 / 4);
      EXPECT_EQ(work_of(sharding, full, rank).received, 2 * 16 * 3 / 4);
    }
  }
}

TEST(ContextOrder, CountsWorkByTheMask) {
  const auto sharding = SequenceSharding::contiguous(64, 4);
  EXPECT_EQ(work_of(sharding, {Span{}}, 0).pairs, 16 * 17 / 2);
  EXPECT_EQ(work_of(sharding, {Span{}}, 3).pairs, 48 * 16 + 16 * 17 / 2);
  EXPECT_EQ(work_of(sharding, {Span{}}, 3).received, 48);
  const Span window{SpanKind::window, 5};
  EXPECT_EQ(work_of(sharding, {window}, 0).pairs, 16 * 5 - 4 - 3 - 2 - 1);
  EXPECT_EQ(work_of(sharding, {window}, 1).pairs, 16 * 5);
  EXPECT_EQ(work_of(sharding, {window}, 1).received, 4);
}

TEST(ContextOrder, NamesTheNearestSequences) {
  const auto refusal = [](std::optional<ContextOrder> order, std::int64_t sequence, int ranks) {
    try {
      make_sharding(order, sequence, ranks, {}, per_row);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal(std::nullopt, 1000, 3),
            "train.sequence=1000 can't be divided among parallel.context=3 ranks: use "
            "train.sequence=1002 or 999");
  EXPECT_EQ(
      refusal(ContextOrder::zigzag, 1002, 4),
      "train.sequence=1002 can't be divided among parallel.context=4 ranks in two chunks each "
      "(parallel.context_order=zigzag): use train.sequence=1008 or 1000");
  EXPECT_EQ(refusal(ContextOrder::contiguous, 3, 4),
            "train.sequence=3 can't be divided among parallel.context=4 ranks: use "
            "train.sequence=4");
  // What zigzag can't divide is contiguous by default.
  EXPECT_EQ(make_sharding(std::nullopt, 12, 4, {layers_of("full")}, per_row),
            SequenceSharding::contiguous(12, 4));
}

}  // namespace
}  // namespace masformer
