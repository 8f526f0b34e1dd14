#include "parallel/context/order_search.h"

#include <algorithm>
#include <array>
#include <optional>

#include "parallel/context/sequence_mask.h"
#include "runtime/random.h"

namespace masformer {
namespace {

using Pair = std::array<int, 2>;  // the chunks of a rank, ascending

// What a rank with two chunks costs in a layer.
class PairCosts {
 public:
  PairCosts(const SequenceSharding& sharding, const ContextLayer& layer, double pairs_per_row)
      : chunks_(2 * static_cast<std::size_t>(sharding.ranks())),
        size_(sharding.sequence() / std::ssize(chunks_)),
        mask_(layer.span),
        pairs_per_row_(pairs_per_row) {
    if (is_by_heads(layer.full, layer.span, sharding.ranks())) {
      same_for_all_ = work_of(sharding, layer, 0).cost(pairs_per_row);
    }
    for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
      chunks_[chunk].pairs = mask_.pairs(positions(static_cast<int>(chunk)));
      chunks_[chunk].first = mask_.visible_keys(positions(static_cast<int>(chunk))).begin;
    }
  }

  double operator()(const Pair& pair) const {
    if (same_for_all_) return *same_for_all_;
    const Chunk& early = chunks_[static_cast<std::size_t>(pair[0])];
    const Chunk& late = chunks_[static_cast<std::size_t>(pair[1])];
    const std::int64_t seen = positions(pair[0]).end - early.first;
    const std::int64_t more = positions(pair[1]).end - std::max(late.first, positions(pair[0]).end);
    return ContextWork{early.pairs + late.pairs, seen + more - 2 * size_}.cost(pairs_per_row_);
  }

 private:
  struct Chunk {
    std::int64_t pairs = 0;
    std::int64_t first = 0;  // the first visible key
  };

  PositionRange positions(int chunk) const { return {chunk * size_, (chunk + 1) * size_}; }

  std::vector<Chunk> chunks_;
  std::int64_t size_;
  SequenceMask mask_;
  double pairs_per_row_;
  std::optional<double> same_for_all_;  // by heads
};

// The cost of the slowest stage, and how uneven the ranks are.
struct Score {
  double cost = 0, unevenness = 0;

  bool better_than(const Score& other) const {
    return cost < other.cost || (cost == other.cost && unevenness < other.unevenness);
  }
};

class Search {
 public:
  Search(const SequenceSharding& start, const std::vector<std::vector<ContextLayer>>& stages,
         double pairs_per_row) {
    for (const auto& chunks : start.chunks()) pairs_.push_back({chunks[0], chunks[1]});
    for (const auto& layers : stages) {
      auto& costs = stages_.emplace_back();
      for (const auto& [layer, count] : counted(layers)) {
        costs.emplace_back(PairCosts(start, layer, pairs_per_row), count);
      }
    }
    score_ = score();
  }

  std::vector<std::vector<int>> run() {
    while (improve()) continue;
    std::vector<std::vector<int>> chunks;
    for (const Pair& pair : pairs_) chunks.push_back({pair[0], pair[1]});
    return chunks;
  }

 private:
  // Takes every swap that helps; whether there was one.
  bool improve() {
    bool found = false;
    for (std::size_t a = 0; a < pairs_.size(); ++a) {
      for (std::size_t b = a + 1; b < pairs_.size(); ++b) {
        for (const std::size_t other : {0, 1}) found = try_swap(a, b, other) || found;
      }
    }
    return found;
  }

  bool try_swap(std::size_t a, std::size_t b, std::size_t other) {
    const Pair before_a = pairs_[a], before_b = pairs_[b];
    std::swap(pairs_[a][1], pairs_[b][other]);
    for (const std::size_t rank : {a, b}) std::ranges::sort(pairs_[rank]);
    const Score now = score();
    if (now.better_than(score_)) {
      score_ = now;
      return true;
    }
    pairs_[a] = before_a, pairs_[b] = before_b;
    return false;
  }

  Score score() const {
    Score worst;
    for (const auto& layers : stages_) {
      Score stage;
      for (const auto& [costs, count] : layers) {
        double slowest = 0;
        for (const Pair& pair : pairs_) {
          const double cost = costs(pair);
          slowest = std::max(slowest, cost);
          stage.unevenness += count * cost * cost;
        }
        stage.cost += count * slowest;
      }
      if (worst.better_than(stage)) worst = stage;
    }
    return worst;
  }

  std::vector<Pair> pairs_;  // [rank]
  std::vector<std::vector<std::pair<PairCosts, double>>> stages_;
  Score score_;
};

}  // namespace

std::vector<std::pair<ContextLayer, int>> counted(const std::vector<ContextLayer>& layers) {
  std::vector<std::pair<ContextLayer, int>> kinds;
  for (const ContextLayer& layer : layers) {
    const auto known = std::ranges::find(kinds, layer, [](const auto& each) { return each.first; });
    if (known == kinds.end()) {
      kinds.emplace_back(layer, 1);
    } else {
      ++known->second;
    }
  }
  return kinds;
}

SequenceSharding search_start(std::int64_t sequence, int ranks, int index) {
  if (index == 0) return SequenceSharding::zigzag(sequence, ranks);
  std::vector<std::vector<int>> chunks(static_cast<std::size_t>(ranks));
  const std::uint64_t count = 2 * static_cast<std::uint64_t>(ranks);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t chunk =
        index == 1 ? i : permute(i, count, static_cast<std::uint64_t>(index));
    chunks[i / 2].push_back(static_cast<int>(chunk));
  }
  for (auto& held : chunks) std::ranges::sort(held);
  return {sequence, std::move(chunks)};
}

SequenceSharding improved_by_swaps(const SequenceSharding& start,
                                   const std::vector<std::vector<ContextLayer>>& stages,
                                   double pairs_per_row) {
  return {start.sequence(), Search(start, stages, pairs_per_row).run()};
}

}  // namespace masformer
