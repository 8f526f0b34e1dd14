#include "parallel/context/exchange_plan.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/error.h"

namespace masformer {
namespace {

// Sorts ranges and joins those that overlap or touch.
std::vector<PositionRange> joined(std::vector<PositionRange> ranges) {
  std::ranges::sort(ranges, {}, &PositionRange::begin);
  std::vector<PositionRange> result;
  for (const PositionRange& range : ranges) {
    if (range.size() <= 0) continue;
    if (result.empty() || result.back().end < range.begin) {
      result.push_back(range);
    } else {
      result.back().end = std::max(result.back().end, range.end);
    }
  }
  return result;
}

PositionRange common(PositionRange a, PositionRange b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

class Planner {
 public:
  Planner(const SequenceSharding& sharding, const SequenceMask& mask, Exchange exchange)
      : sharding_(sharding), mask_(mask), exchange_(exchange) {}

  ExchangePlan plan(int rank) const {
    return exchange_ == Exchange::in_turn ? plan_in_turn(rank) : plan_at_once(rank);
  }

  // What `rank` holds besides its own rows in the only step at once, in ascending order.
  std::vector<HeldSegment> held_at_once(int rank) const {
    std::vector<PositionRange> needed;
    for (const Segment& segment : sharding_.segments(rank)) {
      needed.push_back(mask_.visible_keys(border(segment)));
    }
    if (exchange_ == Exchange::everything) needed = {{0, sharding_.sequence()}};
    return held(joined(std::move(needed)), 0, sharding_.ranks());
  }

 private:
  // The queries at the start of a segment that see keys before it.
  PositionRange border(const Segment& segment) const {
    return mask_.seeing_queries({-1, segment.positions.begin}, segment.positions);
  }

  // Those of `positions` that ranks [first, last) hold.
  std::vector<HeldSegment> held(const std::vector<PositionRange>& positions, int first,
                                int last) const {
    std::vector<HeldSegment> all;
    for (int rank = first; rank < last; ++rank) {
      for (const Segment& segment : sharding_.segments(rank)) {
        for (const PositionRange& part : positions) {
          const PositionRange own = common(part, segment.positions);
          if (own.size() > 0) all.push_back({rank, segment.rows_of(own), own});
        }
      }
    }
    std::ranges::sort(all, {}, [](const HeldSegment& segment) { return segment.positions.begin; });
    std::int64_t row = 0;
    for (HeldSegment& segment : all) {
      segment.first_row = row;
      row += segment.positions.size();
    }
    return all;
  }

  ExchangePlan plan_at_once(int rank) const {
    ExchangePlan plan{.kept = true, .steps = std::vector<ExchangeStep>(2)};
    ExchangeStep& last = plan.steps.back();
    last.held = held_at_once(rank);
    for (int other = 0; other < sharding_.ranks(); ++other) {
      if (other != rank) add_sends(held_at_once(other), rank, other, last.sends);
    }
    for (const Segment& segment : sharding_.segments(rank)) {
      const PositionRange before = border(segment);
      const PositionRange inside{before.end, segment.positions.end};
      add_call(segment, inside, {0, segment}, plan.steps.front());
      add_call(segment, before, whole_buffer(last.held, mask_.visible_keys(before)), last);
    }
    if (!last.has_messages()) plan.steps.pop_back();
    return plan;
  }

  // Keys that a call may use: consecutive positions in consecutive rows, held or own.
  struct Keys {
    bool held;
    Segment segment;
  };

  // The part of the held rows that has these positions, all of which are held.
  static Keys whole_buffer(const std::vector<HeldSegment>& held, PositionRange positions) {
    for (const HeldSegment& segment : held) {
      if (positions.begin < segment.positions.begin || positions.begin >= segment.positions.end)
        continue;
      return {true, {positions, segment.first_row + positions.begin - segment.positions.begin}};
    }
    return {true, {{positions.begin, positions.begin}, 0}};
  }

  // Adds an attention call for the queries that see at least one of `keys`. All `queries` are in
  // `segment`.
  void add_call(const Segment& segment, PositionRange queries, const Keys& keys, ExchangeStep& step,
                bool merges = false) const {
    const PositionRange seeing = mask_.seeing_queries(keys.segment.positions, queries);
    const PositionRange seen = common(mask_.visible_keys(seeing), keys.segment.positions);
    if (seeing.size() <= 0 || seen.size() <= 0) return;
    step.calls.push_back({.queries = segment.rows_of(seeing),
                          .keys = keys.segment.rows_of(seen),
                          .held = keys.held,
                          .span = mask_.span(),
                          .query_offset = seeing.begin,
                          .key_offset = seen.begin,
                          .merges = merges});
  }

  // Whether all segments before a query's own are seen whole, so that calls can combine them.
  bool sees_all_before() const {
    return mask_.span().kind == SpanKind::full && !mask_.has_documents();
  }

  ExchangePlan plan_in_turn(int rank) const {
    const int ranks = sharding_.ranks();
    ExchangePlan plan;
    plan.steps.push_back(own_step(rank));
    for (int distance = 1; distance < ranks; ++distance) {
      ExchangeStep step;
      const int from = (rank + ranks - distance) % ranks, to = (rank + distance) % ranks;
      step.held = seen_of(from, rank);
      add_sends(seen_of(rank, to), rank, to, step.sends);
      if (sees_all_before()) {
        add_combined_calls(rank, step);
      } else {
        for (const Segment& segment : sharding_.segments(rank)) {
          for (const HeldSegment& keys : step.held) {
            add_call(segment, segment.positions, {true, {keys.positions, keys.first_row}}, step,
                     true);
          }
        }
      }
      plan.steps.push_back(std::move(step));
    }
    while (!plan.steps.back().has_messages() && plan.steps.size() > 1) plan.steps.pop_back();
    return plan;
  }

  // Every query sees its own key, so the first calls have a result for each.
  ExchangeStep own_step(int rank) const {
    ExchangeStep step;
    const std::vector<Segment>& segments = sharding_.segments(rank);
    if (sees_all_before()) {
      // Rows are in the order of positions, so the mask of the rows is causal, too. The numbers
      // start at the first position, since the op takes a query at 0 for one that sees itself
      // alone.
      const RowRange all{0, sharding_.rows()};
      const std::int64_t first = segments.front().positions.begin;
      step.calls.push_back({.queries = all,
                            .keys = all,
                            .span = mask_.span(),
                            .query_offset = first,
                            .key_offset = first});
      return step;
    }
    for (auto segment = segments.begin(); segment != segments.end(); ++segment) {
      for (auto keys = segment;; --keys) {
        add_call(*segment, segment->positions, {false, *keys}, step, keys != segment);
        if (keys == segments.begin()) break;
      }
    }
    return step;
  }

  // Calls without a mask: segments that see the same held rows, all of them whole, are one call.
  void add_combined_calls(int rank, ExchangeStep& step) const {
    for (const Segment& segment : sharding_.segments(rank)) {
      std::int64_t keys = 0;
      for (const HeldSegment& held : step.held) {
        if (held.positions.end <= segment.positions.begin) keys += held.positions.size();
      }
      if (keys == 0) continue;
      const RowRange rows = segment.rows_of(segment.positions);
      AttentionCall* const before = step.calls.empty() ? nullptr : &step.calls.back();
      if (before != nullptr && before->keys.size() == keys && before->queries.end == rows.begin) {
        before->queries.end = rows.end;
        continue;
      }
      step.calls.push_back({.queries = rows,
                            .keys = {0, keys},
                            .held = true,
                            .span = mask_.span(),
                            .query_offset = keys,
                            .merges = true});
    }
  }

  // The rows of `owner` that `rank` sees.
  std::vector<HeldSegment> seen_of(int owner, int rank) const {
    std::vector<PositionRange> seen;
    for (const Segment& segment : sharding_.segments(rank))
      seen.push_back(mask_.visible_keys(segment.positions));
    return held(joined(std::move(seen)), owner, owner + 1);
  }

  // What `rank` sends to the rank `to`, which holds `held`.
  static void add_sends(const std::vector<HeldSegment>& held, int rank, int to,
                        std::vector<SentRows>& sends) {
    for (const HeldSegment& segment : held) {
      if (segment.rank == rank) sends.push_back({to, segment.rows});
    }
  }

  const SequenceSharding& sharding_;
  const SequenceMask& mask_;
  Exchange exchange_;
};

}  // namespace

std::int64_t ExchangeStep::sent_rows() const {
  std::int64_t rows = 0;
  for (const SentRows& sent : sends) rows += sent.rows.size();
  return rows;
}

std::int64_t ExchangeStep::held_rows() const {
  return held.empty() ? 0 : held.back().first_row + held.back().positions.size();
}

ExchangePlan plan_exchange(const SequenceSharding& sharding, const SequenceMask& mask,
                           Exchange exchange, int rank) {
  return Planner(sharding, mask, exchange).plan(rank);
}

Exchange choose_exchange(const SequenceSharding& sharding, const Span& span) {
  const SequenceMask mask(span);
  const bool sees_everything = mask.first(sharding.sequence() - 1) == 0;
  if (sees_everything && sharding.ranks() > 1) return Exchange::in_turn;
  const Planner planner(sharding, mask, Exchange::at_once);
  for (int rank = 0; rank < sharding.ranks(); ++rank) {
    std::int64_t others = 0;
    for (const HeldSegment& segment : planner.held_at_once(rank)) {
      if (segment.rank != rank) others += segment.positions.size();
    }
    if (others > sharding.rows()) return Exchange::in_turn;
  }
  return Exchange::at_once;
}

}  // namespace masformer
