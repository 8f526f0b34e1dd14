// A partition for a schedule whose step no formula gives. Boundaries are moved while that helps.
// Then all partitions are tried if there is time for it, or else the moves are repeated from
// disturbed ones. Most partitions are so uneven that their slowest stage alone takes longer than
// the best step known. To see that takes one sum per part, to time a step one per action. The
// budget counts these, so that searches take about the same time for all problems, and always go
// the same way.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "parallel/pipeline/balance_model.h"
#include "parallel/pipeline/clearly_less.h"
#include "runtime/error.h"

namespace masformer {
namespace {

// The seconds of the parts of partitions.
class PartSeconds {
 public:
  explicit PartSeconds(const BalanceProblem& problem) : problem_(problem) {
    for (std::size_t choice = 0; choice < problem.blocks.front().choices.size(); ++choice) {
      auto& sums = sums_.emplace_back(1);
      for (const BalanceBlock& block : problem.blocks) {
        sums.push_back(sums.back());
        sums.back() += block.choices[choice].seconds;
      }
    }
    for (const BalanceBlock& block : problem.blocks) {
      double least = block.choices.front().seconds.total();
      for (const BlockCost& cost : block.choices) least = std::min(least, cost.seconds.total());
      least_.push_back(least_.back() + least);
    }
  }

  // What the slowest stage computes, at least: no step takes less.
  double slowest_stage(const Partition& partition, int micro_batches) const {
    const Placement& placement = problem_.placement;
    double slowest = 0;
    for (int stage = 0; stage < placement.stages(); ++stage) {
      double seconds = 0;
      if (placement.holds(stage, 0)) seconds += problem_.embedding.cost.seconds.total();
      for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
        const LayerRange& range = partition[static_cast<std::size_t>(placement.part(stage, chunk))];
        seconds += least_[static_cast<std::size_t>(range.end)] -
                   least_[static_cast<std::size_t>(range.begin)];
      }
      if (placement.holds(stage, placement.parts() - 1)) {
        seconds += problem_.head.cost.seconds.total();
      }
      slowest = std::max(slowest, seconds);
    }
    return micro_batches * slowest;
  }

  // `choices`: of the stages.
  std::vector<PassSeconds> of(const Partition& partition, const std::vector<int>& choices) const {
    std::vector<PassSeconds> parts;
    for (std::size_t part = 0; part < partition.size(); ++part) {
      const int stage = problem_.placement.place(static_cast<int>(part)).stage;
      const auto choice = static_cast<std::size_t>(choices[static_cast<std::size_t>(stage)]);
      parts.push_back(between(sums_[choice], partition[part]));
    }
    parts.front() += problem_.embedding.cost.seconds;
    parts.back() += problem_.head.cost.seconds;
    return parts;
  }

 private:
  static PassSeconds between(const std::vector<PassSeconds>& sums, const LayerRange& range) {
    const PassSeconds& from = sums[static_cast<std::size_t>(range.begin)];
    const PassSeconds& to = sums[static_cast<std::size_t>(range.end)];
    return {to.forward - from.forward, to.backward_input - from.backward_input,
            to.backward_weight - from.backward_weight};
  }

  const BalanceProblem& problem_;
  std::vector<std::vector<PassSeconds>> sums_;  // [choice][block]: of all blocks before it
  std::vector<double> least_{0};                // [block]: the same under each one's fastest choice
};

// However costly a trial is, so many may be made: enough to improve the first partitions somewhat.
constexpr std::size_t least_trials = 20;

// Smaller is better. The step is a whole number of units far smaller than it, so that steps that
// differ by rounding are equal and the memory decides.
struct Timed {
  Partition partition;
  std::int64_t short_bytes = 0;  // beyond the stages' memory, in total
  std::int64_t step = 0;
  std::int64_t bytes = 0;  // of the largest stage

  bool is_better_than(const Timed& other) const {
    return std::tie(short_bytes, step, bytes) <
           std::tie(other.short_bytes, other.step, other.bytes);
  }
};

class TimedSearch {
 public:
  TimedSearch(const BalanceProblem& problem, const StepTimer& timer, std::size_t work)
      : problem_(problem),
        timer_(timer),
        model_(problem),
        part_seconds_(problem),
        look_(static_cast<std::size_t>(model_.parts())),
        load_(problem.blocks.size() * problem.blocks.front().choices.size()),
        left_(std::max(work, least_trials * (look_ + load_ + timer.actions()))) {}

  Partition run(const Partition& start) {
    const Partition even = even_partition(model_.blocks(), model_.parts());
    if (const double seconds = load_of(problem_, even, timer_).step_seconds; seconds > 0) {
      unit_ = rounding * seconds;
    }
    best_ = timed(even);
    const std::size_t third = left_ / 3;
    improve(best_, left_ - std::min(left_, third));
    improve(timed(start), left_ - std::min(left_, third));
    if (can_try_all()) {
      for_all([&](const Partition& partition) { try_one(partition, best_); });
    } else {
      std::mt19937 random(1);  // its numbers are the same everywhere
      while (left_ > 0) improve(timed(disturbed(best_.partition, random)), 0);
    }
    return best_.partition;
  }

 private:
  // What the stages hold, if each makes its best choice.
  struct Loads {
    std::vector<int> choices;
    std::int64_t short_bytes = 0, bytes = 0;  // as in Timed
  };

  void spend(std::size_t work) { left_ -= std::min(left_, work); }

  template <class Visit>
  void for_all(const Visit& visit) const {
    Partition partition = first_partition(model_.blocks(), model_.parts());
    do visit(partition);
    while (next_partition(partition));
  }

  // Whether the work that is left suffices for try_one() with all partitions. Goes through them to
  // count what that takes, unless they are too many even for that.
  bool can_try_all() {
    const auto most = static_cast<double>(left_ / look_ / 2);
    if (count_partitions(model_.blocks(), model_.parts(), most) > most) return false;
    const std::size_t before = left_;
    std::size_t trials = 0;  // of those that exceed the memory least
    std::int64_t least_short = best_.short_bytes;
    for_all([&](const Partition& partition) {
      if (left_ == 0) return;
      spend(look_);
      if (!may_be_better(partition, best_)) return;
      const std::int64_t short_bytes = loads(partition).short_bytes;
      if (short_bytes < least_short) trials = 0;
      if (short_bytes <= least_short) ++trials;
      least_short = std::min(least_short, short_bytes);
    });
    return left_ > 0 && before - left_ + trials * timer_.actions() <= left_;
  }

  // Moves boundaries until no move helps, or until only `reserve` work is left.
  void improve(Timed start, std::size_t reserve) {
    reserve_ = reserve;
    current_ = std::move(start);
    while (left_ > reserve_ && (move_one() || move_two())) {
    }
    if (current_.is_better_than(best_)) best_ = current_;
  }

  std::int64_t units(double seconds) const { return std::llround(seconds / unit_); }

  bool may_be_better(const Partition& partition, const Timed& known) const {
    return known.short_bytes > 0 ||
           units(part_seconds_.slowest_stage(partition, problem_.micro_batches)) <= known.step;
  }

  // Whether this partition is better than `known`, which it then replaces.
  bool try_one(const Partition& partition, Timed& known) {
    spend(look_);
    if (!may_be_better(partition, known)) return false;
    const Loads held = loads(partition);
    if (held.short_bytes > known.short_bytes) return false;
    Timed other = timed(partition, held);
    if (!other.is_better_than(known)) return false;
    known = std::move(other);
    return true;
  }

  Loads loads(const Partition& partition) {
    spend(load_);
    Loads result;
    for (int stage = 0; stage < model_.stages(); ++stage) {
      const LoadSum sum = model_.sum_of(stage, partition);
      const Load load = sum.best(model_.memory(stage)).value_or(sum.smallest());
      result.short_bytes += std::max<std::int64_t>(load.bytes - model_.memory(stage), 0);
      result.bytes = std::max(result.bytes, load.bytes);
      result.choices.push_back(load.choice);
    }
    return result;
  }

  Timed timed(const Partition& partition, const Loads& held) {
    spend(timer_.actions());
    const double seconds = timer_.seconds(part_seconds_.of(partition, held.choices));
    return {partition, held.short_bytes, units(seconds), held.bytes};
  }
  Timed timed(const Partition& partition) { return timed(partition, loads(partition)); }

  // Moves boundaries by some blocks; false if that leaves a part without one.
  using Moves = std::initializer_list<std::pair<std::size_t, int>>;
  static bool move(Partition& partition, const Moves& moves) {
    for (const auto& [boundary, distance] : moves) {
      partition[boundary].end += distance;
      partition[boundary + 1].begin += distance;
    }
    return std::ranges::all_of(partition, [](const LayerRange& part) { return part.size() >= 1; });
  }

  bool try_moves(const Moves& moves) {
    Partition moved = current_.partition;
    return move(moved, moves) && try_one(moved, current_);
  }

  bool move_one() {
    for (const int distance : {1, -1, 2, -2}) {
      for (std::size_t boundary = 0; boundary + 1 < look_ && left_ > reserve_; ++boundary) {
        if (try_moves({{boundary, distance}})) return true;
      }
    }
    return false;
  }

  bool move_two() {
    const std::size_t boundaries = look_ - 1;
    for (std::size_t apart = 1; apart < boundaries; ++apart) {
      for (std::size_t a = 0; a + apart < boundaries && left_ > reserve_; ++a) {
        for (const auto& [by_a, by_b] : {std::pair(1, 1), {-1, -1}, {1, -1}, {-1, 1}}) {
          if (left_ > reserve_ && try_moves({{a, by_a}, {a + apart, by_b}})) return true;
        }
      }
    }
    return false;
  }

  // Moves some boundaries by up to three blocks.
  static Partition disturbed(const Partition& partition, std::mt19937& random) {
    const auto boundaries = static_cast<unsigned>(partition.size()) - 1;
    Partition result = partition;
    for (auto moves = 1 + random() % boundaries; moves > 0; --moves) {
      const std::size_t boundary = random() % boundaries;
      const int distance = static_cast<int>(random() % 3) + 1;
      Partition moved = result;
      if (move(moved, {{boundary, random() % 2 == 0 ? distance : -distance}})) result = moved;
    }
    return result;
  }

  const BalanceProblem& problem_;
  const StepTimer& timer_;
  BalanceModel model_;
  PartSeconds part_seconds_;
  // Work of looking at a partition, and of summing its stages' loads. Timing takes
  // timer_.actions().
  std::size_t look_, load_;
  std::size_t left_, reserve_ = 0;  // work
  double unit_ = 1;                 // seconds of Timed::step
  Timed best_, current_;
};

}  // namespace

Balance balance(const BalanceProblem& problem, const StepTimer& timer, const Partition& start,
                std::size_t work) {
  check_partition(problem, start);
  return load_of(problem, TimedSearch(problem, timer, work).run(start), timer);
}

Balance load_of(const BalanceProblem& problem, const Partition& partition, const StepTimer& timer) {
  Balance balance = load_of(problem, partition);
  std::vector<int> choices;
  for (const StageLoad& stage : balance.stages) choices.push_back(stage.choice);
  balance.step_seconds = timer.seconds(PartSeconds(problem).of(partition, choices));
  return balance;
}

}  // namespace masformer
