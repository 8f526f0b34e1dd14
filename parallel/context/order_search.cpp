#include "parallel/context/order_search.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <utility>

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

  // Not by rounding alone, or a search might never end.
  bool better_than(const Score& other) const {
    return cost < other.cost || (cost == other.cost && unevenness < other.unevenness * (1 - 1e-12));
  }
};

// A rank whose chunks a swap changes, and these.
struct Change {
  std::size_t rank = 0;
  Pair pair{};
};
using Swap = std::array<Change, 2>;

// What all ranks cost in the layers of one kind.
class KindCosts {
 public:
  KindCosts(PairCosts costs, int layers) : costs_(std::move(costs)), layers_(layers) {}

  void set(const std::vector<Pair>& pairs) {
    ranks_.clear();
    for (const Pair& pair : pairs) ranks_.push_back(costs_(pair));
    // A swap changes two ranks, so that one of the three slowest is left.
    slowest_.clear();
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) slowest_.push_back(rank);
    const auto kept = std::min<std::ptrdiff_t>(3, std::ssize(slowest_));
    std::ranges::partial_sort(slowest_, slowest_.begin() + kept, std::greater(),
                              [&](std::size_t rank) { return ranks_[rank]; });
    slowest_.resize(static_cast<std::size_t>(kept));
    unevenness_ = 0;
    for (const double cost : ranks_) unevenness_ += layers_ * cost * cost;
  }

  Score score() const { return {layers_ * ranks_[slowest_.front()], unevenness_}; }
  std::size_t slowest_rank() const { return slowest_.front(); }

  Score score_with(const Swap& swap) const {
    double slowest = 0, unevenness = unevenness_;
    for (const std::size_t rank : slowest_) {
      if (rank == swap[0].rank || rank == swap[1].rank) continue;
      slowest = ranks_[rank];
      break;
    }
    for (const auto& [rank, pair] : swap) {
      const double cost = costs_(pair);
      slowest = std::max(slowest, cost);
      unevenness += layers_ * (cost * cost - ranks_[rank] * ranks_[rank]);
    }
    return {layers_ * slowest, unevenness};
  }

 private:
  PairCosts costs_;
  double layers_;
  std::vector<double> ranks_;
  std::vector<std::size_t> slowest_;  // up to three ranks
  double unevenness_ = 0;
};

class Search {
 public:
  Search(const SequenceSharding& start, const std::vector<std::vector<ContextLayer>>& stages,
         double pairs_per_row) {
    for (const auto& chunks : start.chunks()) pairs_.push_back({chunks[0], chunks[1]});
    for (const auto& layers : stages) {
      auto& kinds = stages_.emplace_back();
      for (const auto& [layer, count] : counted(layers)) {
        kinds.emplace_back(PairCosts(start, layer, pairs_per_row), count);
      }
    }
    update();
  }

  std::vector<std::vector<int>> run() {
    while (improve()) continue;
    std::vector<std::vector<int>> chunks;
    for (const Pair& pair : pairs_) chunks.push_back({pair[0], pair[1]});
    return chunks;
  }

 private:
  // Takes every swap that helps; whether there was one. Among many ranks, only swaps with one of
  // the slowest are tried: no other lowers the cost, and to make ranks more even by all others
  // would take minutes.
  bool improve() {
    constexpr std::size_t many = 64;
    if (pairs_.size() > many) return improve_slowest();
    bool found = false;
    for (std::size_t a = 0; a < pairs_.size(); ++a) {
      for (std::size_t b = a + 1; b < pairs_.size(); ++b) found = try_swaps(a, b) || found;
    }
    return found;
  }

  bool improve_slowest() {
    std::set<std::size_t> slowest;
    for (const auto& kinds : stages_) {
      for (const KindCosts& kind : kinds) slowest.insert(kind.slowest_rank());
    }
    bool found = false;
    for (const std::size_t a : slowest) {
      for (std::size_t b = 0; b < pairs_.size(); ++b) {
        if (a != b) found = try_swaps(std::min(a, b), std::max(a, b)) || found;
      }
    }
    return found;
  }

  // Both ways to swap the last chunk of `a` with one of `b`.
  bool try_swaps(std::size_t a, std::size_t b) {
    const bool first = try_swap(a, b, 0);
    return try_swap(a, b, 1) || first;
  }

  bool try_swap(std::size_t a, std::size_t b, std::size_t other) {
    Swap swap{Change{a, pairs_[a]}, Change{b, pairs_[b]}};
    std::swap(swap[0].pair[1], swap[1].pair[other]);
    for (Change& change : swap) std::ranges::sort(change.pair);
    if (!score([&](const KindCosts& kind) { return kind.score_with(swap); }).better_than(score_)) {
      return false;
    }
    for (const Change& change : swap) pairs_[change.rank] = change.pair;
    update();
    return true;
  }

  void update() {
    for (auto& kinds : stages_) {
      for (KindCosts& kind : kinds) kind.set(pairs_);
    }
    score_ = score([](const KindCosts& kind) { return kind.score(); });
  }

  template <class ScoreOf>
  Score score(const ScoreOf& score_of) const {
    Score worst;
    for (const auto& kinds : stages_) {
      Score stage;
      for (const KindCosts& kind : kinds) {
        const Score part = score_of(kind);
        stage.cost += part.cost;
        stage.unevenness += part.unevenness;
      }
      if (worst.better_than(stage)) worst = stage;
    }
    return worst;
  }

  std::vector<Pair> pairs_;  // [rank]
  std::vector<std::vector<KindCosts>> stages_;
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

int search_starts(int ranks) {
  constexpr int most = 16, fewest = 2, swaps = 1 << 16;
  return std::clamp(swaps / (ranks * ranks), fewest, most);
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
