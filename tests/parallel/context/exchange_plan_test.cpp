// Exchange plans against the mask itself: with the rows that it holds, each rank computes every
// visible pair of a query and a key once, and nothing else.
#include "parallel/context/exchange_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "parallel/context/order_search.h"
#include "runtime/error.h"

namespace masformer {
namespace {

using Starts = std::vector<std::vector<std::int64_t>>;
using Keys = std::vector<std::int64_t>;

// The position of a row of the buffer of held rows, after checks of the buffer itself.
Keys held_positions(const ExchangeStep& step, const SequenceSharding& sharding) {
  Keys positions;
  for (const HeldSegment& segment : step.held) {
    EXPECT_EQ(segment.first_row, std::ssize(positions));
    EXPECT_EQ(segment.rows.size(), segment.positions.size());
    for (std::int64_t i = 0; i < segment.rows.size(); ++i) {
      const std::int64_t position = sharding.position(segment.rank, segment.rows.begin + i);
      EXPECT_EQ(position, segment.positions.begin + i);
      EXPECT_TRUE(positions.empty() || positions.back() < position);
      positions.push_back(position);
    }
  }
  EXPECT_EQ(step.held_rows(), std::ssize(positions));
  return positions;
}

// The keys that each own row sees in all calls, as the attention op's mask defines them.
std::vector<Keys> computed_keys(const ExchangePlan& plan, const SequenceSharding& sharding,
                                const SequenceMask& documents, int rank) {
  std::vector<Keys> computed(static_cast<std::size_t>(sharding.rows()));
  for (const ExchangeStep& step : plan.steps) {
    const Keys held = held_positions(step, sharding);
    for (const AttentionCall& call : step.calls) {
      EXPECT_GT(call.queries.size(), 0);
      EXPECT_GT(call.keys.size(), 0);
      for (std::int64_t i = 0; i < call.queries.size(); ++i) {
        const std::int64_t row = call.queries.begin + i;
        Keys& seen = computed[static_cast<std::size_t>(row)];
        EXPECT_EQ(call.merges, !seen.empty());
        const std::int64_t query = sharding.position(rank, row);
        const std::int64_t number = call.query_offset + i;
        const std::int64_t first = first_visible(call.span, number);
        // The op computes no gradients for scores of a query that sees itself alone.
        if (first == number) {
          EXPECT_EQ(documents.first(query), query);
        }
        for (std::int64_t j = 0; j < call.keys.size(); ++j) {
          if (call.key_offset + j < first || call.key_offset + j > number) continue;
          const std::int64_t key_row = call.keys.begin + j;
          const std::int64_t key = call.held ? held[static_cast<std::size_t>(key_row)]
                                             : sharding.position(rank, key_row);
          // The op gets the documents' borders as positions.
          if (documents.has_documents()) {
            EXPECT_EQ(number, query);
            EXPECT_EQ(call.key_offset + j, key);
            if (key < documents.first(query)) continue;
          }
          seen.push_back(key);
        }
      }
    }
  }
  return computed;
}

void expect_complete(const SequenceSharding& sharding, const SequenceMask& mask, int rank,
                     const ExchangePlan& plan) {
  std::vector<Keys> computed = computed_keys(plan, sharding, mask, rank);
  for (std::int64_t row = 0; row < sharding.rows(); ++row) {
    const std::int64_t query = sharding.position(rank, row), first = mask.first(query);
    Keys expected(static_cast<std::size_t>(query - first + 1));
    std::iota(expected.begin(), expected.end(), first);
    Keys& keys = computed[static_cast<std::size_t>(row)];
    std::ranges::sort(keys);
    ASSERT_EQ(keys, expected) << "query " << query;
  }
}

// What travels between each pair of ranks, in order, must be the same for both.
void expect_messages_fit(const std::vector<ExchangePlan>& plans) {
  std::map<std::pair<int, int>, std::vector<RowRange>> sent, received;
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    const int own = static_cast<int>(rank);
    for (const ExchangeStep& step : plans[rank].steps) {
      for (const SentRows& rows : step.sends) sent[{own, rows.rank}].push_back(rows.rows);
      for (const HeldSegment& segment : step.held) {
        if (segment.rank != own) received[{segment.rank, own}].push_back(segment.rows);
      }
    }
    EXPECT_TRUE(plans[rank].steps.front().sends.empty());
    EXPECT_TRUE(plans[rank].steps.front().held.empty());
  }
  EXPECT_EQ(sent, received);
}

// In the backward a rank starts the rows of step i + 1, then returns the gradients of step i. The
// messages of each pair of ranks must have the same order on both.
void expect_backward_messages_fit(const std::vector<ExchangePlan>& plans) {
  struct Sent {
    bool gradient;
    std::int64_t rows;
    bool operator==(const Sent&) const = default;
  };
  std::map<std::pair<int, int>, std::vector<Sent>> sent, received;
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    const int own = static_cast<int>(rank);
    const auto& steps = plans[rank].steps;
    const auto exchange = [&](std::size_t step, bool gradient) {
      if (step == 0 || step >= steps.size() || (plans[rank].kept && !gradient)) return;
      for (const SentRows& rows : steps[step].sends) {
        (gradient ? received[{rows.rank, own}] : sent[{own, rows.rank}])
            .push_back({gradient, rows.rows.size()});
      }
      for (const HeldSegment& held : steps[step].held) {
        if (held.rank == own) continue;
        (gradient ? sent[{own, held.rank}] : received[{held.rank, own}])
            .push_back({gradient, held.rows.size()});
      }
    };
    for (std::size_t step = 0; step < steps.size(); ++step) {
      exchange(step + 1, false);
      exchange(step, true);
    }
  }
  EXPECT_TRUE(sent == received);
}

// Nothing travels that the receiver does not see.
void expect_seen(const SequenceSharding& sharding, const SequenceMask& mask, int rank,
                 const ExchangePlan& plan) {
  for (const ExchangeStep& step : plan.steps) {
    for (const HeldSegment& segment : step.held) {
      for (std::int64_t key = segment.positions.begin; key < segment.positions.end; ++key) {
        bool seen = false;
        for (std::int64_t row = 0; row < sharding.rows() && !seen; ++row) {
          const std::int64_t query = sharding.position(rank, row);
          seen = mask.first(query) <= key && key <= query;
        }
        ASSERT_TRUE(seen) << "key " << key << " of rank " << segment.rank << " for rank " << rank;
      }
    }
  }
}

std::vector<SequenceSharding> shardings(std::int64_t sequence) {
  std::vector<SequenceSharding> all;
  for (const int ranks : {1, 2, 3, 4}) {
    all.push_back(SequenceSharding::contiguous(sequence, ranks));
    all.push_back(SequenceSharding::zigzag(sequence, ranks));
  }
  all.emplace_back(sequence, std::vector<std::vector<int>>{{1, 2, 7}, {0, 3, 8}, {4, 5, 6}});
  all.emplace_back(sequence, std::vector<std::vector<int>>{{2}, {0}, {1}});
  return all;
}

std::vector<Starts> documents(std::int64_t sequence) {
  std::vector<Starts> all{{},
                          {{0}},
                          {{0, 7, 12, 13}},
                          {{0, sequence / 2}},
                          {{0, 5}, {0}},
                          {{0, sequence / 4 - 1, sequence / 4 + 1}, {0, 5}, {0, sequence - 1}}};
  Keys every(static_cast<std::size_t>(sequence));
  std::iota(every.begin(), every.end(), 0);
  all.push_back({every});
  return all;
}

TEST(ExchangePlan, ComputesEveryVisiblePairOnce) {
  constexpr std::int64_t sequence = 72;
  for (const char* const text :
       {"full", "window:1", "window:2", "window:9", "window:18", "window:19", "window:40",
        "window:100", "block:1", "block:5", "block:18", "block:64"}) {
    for (const Starts& starts : documents(sequence)) {
      const SequenceMask mask(parse_span(text), starts);
      for (const SequenceSharding& sharding : shardings(sequence)) {
        for (const auto& [exchange, name] : enum_names<Exchange>) {
          SCOPED_TRACE(testing::Message() << text << ' ' << name << ", " << sharding.ranks()
                                          << " ranks, " << starts.size() << " samples");
          std::vector<ExchangePlan> plans;
          for (int rank = 0; rank < sharding.ranks(); ++rank) {
            plans.push_back(plan_exchange(sharding, mask, exchange, rank));
            expect_complete(sharding, mask, rank, plans.back());
            EXPECT_EQ(plans.back().kept, exchange != Exchange::in_turn);
            if (exchange != Exchange::everything) {
              expect_seen(sharding, mask, rank, plans.back());
            }
          }
          expect_messages_fit(plans);
          expect_backward_messages_fit(plans);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Ranks have steps without messages at different distances.
TEST(ExchangePlan, KeepsTheOrderOfMessagesInTheBackward) {
  for (const auto& [span, sequence, ranks] :
       std::vector<std::tuple<const char*, std::int64_t, int>>{
           {"block:48", 512, 4}, {"block:3", 32, 4}, {"block:96", 1024, 4}, {"block:12", 256, 8}}) {
    for (int start = 0; start < search_starts(ranks); ++start) {
      const SequenceSharding sharding = search_start(sequence, ranks, start);
      std::vector<ExchangePlan> plans;
      for (int rank = 0; rank < ranks; ++rank) {
        plans.push_back(
            plan_exchange(sharding, SequenceMask(parse_span(span)), Exchange::in_turn, rank));
      }
      SCOPED_TRACE(testing::Message() << span << " on " << sharding.to_string());
      expect_messages_fit(plans);
      expect_backward_messages_fit(plans);
    }
  }
}

std::int64_t sent_rows(const SequenceSharding& sharding, const SequenceMask& mask,
                       Exchange exchange) {
  std::int64_t rows = 0;
  for (int rank = 0; rank < sharding.ranks(); ++rank) {
    for (const ExchangeStep& step : plan_exchange(sharding, mask, exchange, rank).steps) {
      rows += step.sent_rows();
    }
  }
  return rows;
}

// The closed forms of docs/long-context.md.
TEST(ExchangePlan, SendsTheHalosOfWindows) {
  for (const std::int64_t w : {1, 2, 16, 33}) {
    const SequenceMask window(Span{SpanKind::window, w});
    for (const int ranks : {2, 4, 8}) {
      // w - 1 rows a border, however long the sequence is.
      for (const std::int64_t each : {32, 64, 320}) {
        const auto contiguous = SequenceSharding::contiguous(each * ranks, ranks);
        EXPECT_EQ(sent_rows(contiguous, window, Exchange::at_once), (ranks - 1) * (w - 1));
        EXPECT_EQ(choose_exchange(contiguous, window.span()), Exchange::at_once);
      }
      // Twice the chunks have twice the borders, less the one between the middle chunks, which one
      // rank holds.
      for (const std::int64_t chunk : {32, 64}) {
        const auto zigzag = SequenceSharding::zigzag(2 * chunk * ranks, ranks);
        EXPECT_EQ(sent_rows(zigzag, window, Exchange::at_once), (2 * ranks - 2) * (w - 1));
      }
    }
  }
}

// A window over several shards: rank r sees the min(w - 1, r shards) rows before its own.
TEST(ExchangePlan, SendsWideWindowsOverSeveralShards) {
  constexpr std::int64_t rows = 16;
  for (const std::int64_t w : {18, 33, 50, 1000}) {
    for (const int ranks : {2, 3, 8}) {
      const auto sharding = SequenceSharding::contiguous(rows * ranks, ranks);
      std::int64_t expected = 0;
      for (int rank = 0; rank < ranks; ++rank) expected += std::min(w - 1, rank * rows);
      const SequenceMask mask(Span{SpanKind::window, w});
      EXPECT_EQ(sent_rows(sharding, mask, Exchange::at_once), expected);
      EXPECT_EQ(sent_rows(sharding, mask, Exchange::in_turn), expected);
      EXPECT_EQ(choose_exchange(sharding, mask.span()),
                ranks == 2 && w < 2 * rows ? Exchange::at_once : Exchange::in_turn);
    }
  }
}

// A ring sends P (P - 1) shards. A causal mask needs half of them if shards are contiguous, and
// three quarters in a zigzag, where later chunks are of no use to a rank with an earlier one.
TEST(ExchangePlan, SendsNoMoreThanARingForFullLayers) {
  constexpr std::int64_t rows = 32;
  const SequenceMask full{Span{}};
  for (const int ranks : {2, 3, 4, 8}) {
    const std::int64_t ring = ranks * (ranks - 1) * rows;
    const std::int64_t sequence = rows * ranks;
    EXPECT_EQ(sent_rows(SequenceSharding::contiguous(sequence, ranks), full, Exchange::in_turn),
              ring / 2);
    EXPECT_EQ(sent_rows(SequenceSharding::zigzag(sequence, ranks), full, Exchange::in_turn),
              ring * 3 / 4);
    EXPECT_EQ(sent_rows(SequenceSharding::zigzag(sequence, ranks), full, Exchange::everything),
              ring);
  }
}

TEST(ExchangePlan, BalancesFullLayersInAZigzag) {
  const SequenceMask full{Span{}};
  for (const int ranks : {1, 2, 3, 5, 8}) {
    const auto sharding = SequenceSharding::zigzag(20L * ranks, ranks);
    std::int64_t first = -1;
    for (int rank = 0; rank < ranks; ++rank) {
      std::int64_t pairs = 0;
      for (const Segment& segment : sharding.segments(rank)) pairs += full.pairs(segment.positions);
      if (rank == 0) first = pairs;
      EXPECT_EQ(pairs, first);
    }
    EXPECT_EQ(first * ranks, visible_pairs(Span{}, sharding.sequence()));
  }
}

// In a zigzag a rank needs one call for its own rows, and one for each step.
TEST(ExchangePlan, ComputesAStepOfAFullLayerInOneCall) {
  const SequenceMask full{Span{}};
  for (const int ranks : {1, 2, 4, 8}) {
    for (const auto& sharding : {SequenceSharding::contiguous(32L * ranks, ranks),
                                 SequenceSharding::zigzag(32L * ranks, ranks)}) {
      for (int rank = 0; rank < ranks; ++rank) {
        for (const ExchangeStep& step :
             plan_exchange(sharding, full, Exchange::in_turn, rank).steps) {
          EXPECT_LE(step.calls.size(), 1u);
        }
      }
    }
  }
}

// Each rank holds whole documents: nothing travels.
TEST(ExchangePlan, SendsNothingBetweenDocuments) {
  const auto sharding = SequenceSharding::contiguous(64, 4);
  for (const char* const span : {"full", "window:8", "block:8"}) {
    const SequenceMask mask(parse_span(span), Starts{{0, 5, 16, 32, 48}});
    for (const Exchange exchange : {Exchange::at_once, Exchange::in_turn}) {
      EXPECT_EQ(sent_rows(sharding, mask, exchange), 0);
      EXPECT_EQ(plan_exchange(sharding, mask, exchange, 2).steps.size(), 1u);
    }
  }
}

TEST(SequenceMask, RefusesDocumentsOutOfOrder) {
  for (const Starts& starts : {Starts{{}}, Starts{{1}}, Starts{{0, 5, 3}}}) {
    EXPECT_THROW(SequenceMask(Span{}, starts), Error);
  }
}

}  // namespace
}  // namespace masformer
