#include "parallel/context/context_order.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "parallel/context/order_search.h"
#include "parallel/context/sequence_mask.h"
#include "runtime/error.h"

namespace masformer {
namespace {

std::int64_t chunks_per_rank(ContextOrder order) {
  return order == ContextOrder::zigzag ? 2 : 1;
}

bool divides(ContextOrder order, std::int64_t sequence, int ranks) {
  const std::int64_t chunks = chunks_per_rank(order) * ranks;
  return sequence >= chunks && sequence % chunks == 0;
}

[[noreturn]] void refuse_sequence(ContextOrder order, std::int64_t sequence, int ranks) {
  const std::int64_t multiple = chunks_per_rank(order) * ranks;
  const std::int64_t above = (sequence / multiple + 1) * multiple, below = above - multiple;
  const bool zigzag = order == ContextOrder::zigzag;
  refuse(
      "train.sequence={} can't be divided among parallel.context={} ranks{}: use "
      "train.sequence={}{}",
      sequence, ranks, zigzag ? " in two chunks each (parallel.context_order=zigzag)" : "", above,
      below > 0 ? fmt::format(" or {}", below) : "");
}

}  // namespace

std::vector<ContextLayer> context_layers(const std::vector<Span>& spans, ContextFull full) {
  std::vector<ContextLayer> layers;
  for (const Span& span : spans) layers.push_back({span, full});
  return layers;
}

ContextWork work_of(const SequenceSharding& sharding, const ContextLayer& layer, int rank) {
  const SequenceMask mask(layer.span);
  if (is_by_heads(layer.full, layer.span, sharding.ranks())) {
    // From each other rank, for 1/P of the heads: its rows of q, k and v, and this rank's rows of
    // the result. A row of these four has as many elements as two rows of keys and values.
    const std::int64_t ranks = sharding.ranks();
    return {.pairs = mask.pairs({0, sharding.sequence()}) / ranks,
            .received = 2 * sharding.rows() * (ranks - 1) / ranks};
  }
  ContextWork work{.received = -sharding.rows()};
  std::int64_t seen = 0;  // positions before this one are counted
  for (const Segment& segment : sharding.segments(rank)) {
    work.pairs += mask.pairs(segment.positions);
    const PositionRange keys = mask.visible_keys(segment.positions);
    work.received += keys.end - std::max(keys.begin, seen);
    seen = keys.end;
  }
  return work;
}

double cost_of(const SequenceSharding& sharding, const std::vector<ContextLayer>& layers,
               double pairs_per_row) {
  double sum = 0;
  for (const auto& [layer, count] : counted(layers)) {
    double slowest = 0;
    for (int rank = 0; rank < sharding.ranks(); ++rank) {
      slowest = std::max(slowest, work_of(sharding, layer, rank).cost(pairs_per_row));
    }
    sum += static_cast<double>(count) * slowest;
  }
  return sum;
}

void require_divisible(std::optional<ContextOrder> order, std::int64_t sequence, int ranks) {
  const ContextOrder simplest = order.value_or(ContextOrder::contiguous);
  if (!divides(simplest, sequence, ranks)) refuse_sequence(simplest, sequence, ranks);
}

SequenceSharding make_sharding(std::optional<ContextOrder> order, std::int64_t sequence, int ranks,
                               const std::vector<std::vector<ContextLayer>>& stages,
                               double pairs_per_row) {
  using enum ContextOrder;
  require_divisible(order, sequence, ranks);
  if (order == zigzag) return SequenceSharding::zigzag(sequence, ranks);
  SequenceSharding best = SequenceSharding::contiguous(sequence, ranks);
  if (order || ranks == 1 || !divides(zigzag, sequence, ranks)) return best;
  const auto cost = [&](const SequenceSharding& sharding) {
    double largest = 0;
    for (const auto& layers : stages)
      largest = std::max(largest, cost_of(sharding, layers, pairs_per_row));
    return largest;
  };
  double least = cost(best);
  const auto consider = [&](const SequenceSharding& other) {
    const double its = cost(other);
    if (its < least) least = its, best = other;
  };
  consider(SequenceSharding::zigzag(sequence, ranks));
  for (int start = 0; start < search_starts(ranks); ++start) {
    consider(improved_by_swaps(search_start(sequence, ranks, start), stages, pairs_per_row));
  }
  return best;
}

const SequenceSharding& ShardingCache::get(std::optional<ContextOrder> order, std::int64_t sequence,
                                           int ranks,
                                           const std::vector<std::vector<ContextLayer>>& stages,
                                           double pairs_per_row) {
  // All that decides, in text.
  std::string key = fmt::format("{}; {} over {}; {}", order ? name_of(*order) : "auto", sequence,
                                ranks, pairs_per_row);
  for (const auto& layers : stages) {
    key += ";";
    for (const auto& [layer, count] : counted(layers)) {
      key += fmt::format(" {} {} {}", count, to_string(layer.span), name_of(layer.full));
    }
  }
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  return known_.emplace(key, make_sharding(order, sequence, ranks, stages, pairs_per_row))
      .first->second;
}

}  // namespace masformer
