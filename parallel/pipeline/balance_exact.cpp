// The best partition with one part per stage. For a limit M on the slowest stage, a table over
// (stages, blocks) finds the partition with the least sum of all stages (of several, the one whose
// largest stage takes the least memory, then the one whose stages are most even). A range that is
// too slow or too large stays so when it grows, so each entry looks back over the blocks of one
// stage only. Its end is limited from both sides, too: by how far the stages up to it can reach,
// and by how far back the later stages can reach from the last block. Only these ends are
// tabulated; under a limit that leaves little choice they are few.
//
// The sum falls as M rises, since stages that may take longer recompute less. Where every block has
// its fastest choice under the smallest M, no larger one is better. Otherwise the limits up to the
// one from which only the first term grows are searched by halves; a half is left out if its
// smallest M and its smallest sum together are no better than what is known.

#include <algorithm>
#include <tuple>
#include <utility>

#include "parallel/pipeline/balance_model.h"

namespace masformer {
namespace {

constexpr Ticks no_limit = std::numeric_limits<Ticks>::max();

struct Solution {
  Ticks slowest = 0, sum = 0;
  std::int64_t bytes = 0;  // of the largest stage
  std::vector<int> ends;   // [stage] the block behind its last one
  std::vector<int> choices;

  Partition partition() const {
    Partition partition;
    int begin = 0;
    for (const int end : ends) {
      partition.push_back({begin, end});
      begin = end;
    }
    return partition;
  }
};

// The best way to put the blocks before `end` on some stages.
struct Entry {
  bool reached = false;
  Ticks sum = 0;
  std::int64_t bytes = 0;
  double squares = 0;         // of the stages' ticks; smaller if they are more even
  int begin = 0, choice = 0;  // of the last of these stages
  Ticks ticks = 0;
};

// The blocks before which the first k stages can end.
struct Row {
  int first = 0, last = -1;
  std::vector<Entry> entries;  // [end - first]

  bool holds(int end) const { return first <= end && end <= last; }
  const Entry& at(int end) const { return entries[static_cast<std::size_t>(end - first)]; }
  Entry& at(int end) { return entries[static_cast<std::size_t>(end - first)]; }
};

class Table {
 public:
  // `extra`: bytes that each stage may take beyond its memory.
  Table(const BalanceModel& model, Ticks limit, std::int64_t extra)
      : model_(model), limit_(limit), extra_(extra) {
    bound_rows();
    for (const Row& row : rows_) {
      if (row.first > row.last) return;  // no partition is within the limits
    }
    for (Row& row : rows_) row.entries.resize(static_cast<std::size_t>(row.last - row.first) + 1);
    rows_.front().at(0).reached = true;
    for (int stage = 0; stage < model_.stages(); ++stage) fill(stage);
    solved_ = rows_.back().at(model_.blocks()).reached;
  }

  std::optional<Solution> solution() const {
    if (!solved_) return std::nullopt;
    const auto stages = static_cast<std::size_t>(model_.stages());
    int end = model_.blocks();
    const Entry& whole = rows_[stages].at(end);
    Solution found{0, whole.sum, whole.bytes, std::vector<int>(stages), std::vector<int>(stages)};
    for (std::size_t stage = stages; stage-- > 0;) {
      const Entry& entry = rows_[stage + 1].at(end);
      found.ends[stage] = end;
      found.choices[stage] = entry.choice;
      found.slowest = std::max(found.slowest, entry.ticks);
      end = entry.begin;
    }
    return found;
  }

 private:
  // A stage that begins later ends no earlier, so the furthest end of each stage follows from that
  // of the stage before; and the earliest ones in the same way, from the last stage back.
  void bound_rows() {
    const int stages = model_.stages(), blocks = model_.blocks();
    rows_.resize(static_cast<std::size_t>(stages) + 1);
    rows_.front().last = 0;
    rows_.back().first = blocks;
    for (int stage = 0; stage < stages; ++stage) {
      const int most = blocks - (stages - stage - 1);
      rows_[static_cast<std::size_t>(stage) + 1].last =
          std::min(furthest(stage, rows_[static_cast<std::size_t>(stage)].last, 1), most);
    }
    for (int stage = stages; stage-- > 0;) {
      rows_[static_cast<std::size_t>(stage)].first =
          std::max(furthest(stage, rows_[static_cast<std::size_t>(stage) + 1].first, -1), stage);
    }
  }

  // How far the stage can get from here with blocks behind (1) or before it (-1).
  int furthest(int stage, int from, int direction) const {
    LoadSum sum = model_.ends_of(stage);
    for (;; from += direction) {
      const int block = direction > 0 ? from : from - 1;
      if (block < 0 || block >= model_.blocks()) return from;
      model_.add_block(sum, block, stage);
      if (!load_within_limits(stage, sum)) return from;
    }
  }

  std::optional<Load> load_within_limits(int stage, const LoadSum& sum) const {
    const std::int64_t memory = model_.memory(stage);
    const auto load = sum.best(memory > no_limit - extra_ ? no_limit : memory + extra_);
    return load && load->ticks <= limit_ ? load : std::nullopt;
  }

  void fill(int stage) {
    const LoadSum ends = model_.ends_of(stage);
    const Row& row = rows_[static_cast<std::size_t>(stage) + 1];
    for (int end = row.first; end <= row.last; ++end) fill(stage, end, ends);
  }

  void fill(int stage, int end, LoadSum sum) {
    const Row& before = rows_[static_cast<std::size_t>(stage)];
    Entry& entry = rows_[static_cast<std::size_t>(stage) + 1].at(end);
    for (int begin = end - 1; begin >= before.first; --begin) {
      model_.add_block(sum, begin, stage);
      const auto load = load_within_limits(stage, sum);
      if (!load) return;
      if (!before.holds(begin) || !before.at(begin).reached) continue;
      const Entry& rest = before.at(begin);
      const Ticks total = rest.sum + load->ticks;
      const std::int64_t bytes = std::max(rest.bytes, load->bytes);
      const double squares = rest.squares + squared(load->ticks);
      if (entry.reached &&
          std::tie(entry.sum, entry.bytes, entry.squares) <= std::tie(total, bytes, squares)) {
        continue;
      }
      entry = {true, total, bytes, squares, begin, load->choice, load->ticks};
    }
  }

  const BalanceModel& model_;
  Ticks limit_;
  std::int64_t extra_;
  std::vector<Row> rows_;  // [k]: of the first k stages
  bool solved_ = false;
};

class ExactSearch {
 public:
  explicit ExactSearch(const BalanceModel& model) : model_(model) {}

  std::optional<Solution> run() {
    const auto fastest = smallest_limit();
    if (!fastest) return std::nullopt;
    best_ = *fastest;
    if (fastest->sum > model_.least_sum()) {
      const Ticks lower = fastest->slowest, upper = model_.largest_sum();
      const auto slack = static_cast<double>(fastest->sum - model_.least_sum());
      const Ticks repeats = model_.step(1, 0);
      const Ticks useful =
          repeats == 0 ? upper : lower + static_cast<Ticks>(slack / static_cast<double>(repeats));
      const Ticks highest = std::clamp(useful, lower, upper);
      if (highest > lower) explore(lower, fastest->sum, highest, solve(highest)->sum);
    }
    // Of the partitions with this slowest stage and this sum, solve() returns the one with the most
    // even memory.
    return solve(best_.slowest);
  }

 private:
  std::optional<Solution> solve(Ticks limit) {
    auto found = Table(model_, limit, 0).solution();
    if (found && key(*found) < key(best_)) best_ = *found;
    return found;
  }

  std::pair<Ticks, Ticks> key(const Solution& solution) const {
    return {model_.step(solution.slowest, solution.sum), solution.slowest};
  }

  // The partition whose slowest stage is fastest.
  std::optional<Solution> smallest_limit() {
    best_.slowest = best_.sum = model_.largest_sum();
    Ticks low = std::max(model_.least_sum() / model_.stages(), model_.slowest_block()) - 1;
    std::optional<Solution> found;
    for (Ticks step = low / 8 + 1; !found; step *= 2) {
      const Ticks limit = std::min(low + step, model_.largest_sum());
      found = solve(limit);
      if (found) break;
      if (limit == model_.largest_sum()) return std::nullopt;
      low = limit;
    }
    for (Ticks high = found->slowest; high - low > 1;) {
      const Ticks middle = low + (high - low) / 2;
      if (auto better = solve(middle)) {
        high = better->slowest;
        found = std::move(better);
      } else {
        low = middle;
      }
    }
    return found;
  }

  // Looks for better limits between two whose sums are known.
  void explore(Ticks low, Ticks low_sum, Ticks high, Ticks high_sum) {
    if (high - low <= 1 || low_sum == high_sum) return;
    if (std::pair(model_.step(low + 1, high_sum), low + 1) >= key(best_)) return;
    const Ticks middle = low + (high - low) / 2;
    const Ticks sum = solve(middle)->sum;
    explore(low, low_sum, middle, sum);
    explore(middle, sum, high, high_sum);
  }

  const BalanceModel& model_;
  Solution best_;
};

}  // namespace

std::optional<Balance> solve_exactly(const BalanceModel& model) {
  const auto found = ExactSearch(model).run();
  if (!found) return std::nullopt;
  return model.result(found->partition(), found->choices);
}

Balance least_short(const BalanceModel& model) {
  std::int64_t low = 0, high = 1;
  const auto fits = [&](std::int64_t extra) {
    return Table(model, no_limit, extra).solution().has_value();
  };
  while (!fits(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? high : low) = middle;
  }
  const Solution found = *Table(model, no_limit, high).solution();
  return model.result(found.partition(), found.choices);
}

}  // namespace masformer
