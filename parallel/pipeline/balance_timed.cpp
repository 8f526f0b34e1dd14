// A partition for a schedule whose step no formula gives: boundaries are moved while that helps,
// and then all partitions are tried, or if they are too many, the moves are repeated from disturbed
// ones. Most partitions are so uneven that their slowest stage alone takes longer than the best
// step known; that costs a sum for each part, where timing a step costs one for each action. The
// budget counts both, so that a search takes about the same time for all problems, and always the
// same path.

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "parallel/pipeline/balance_model.h"

namespace masformer {
namespace {

constexpr double equal_seconds = 1 + 1e-9;  // differences below are taken for rounding

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

  // Less than any step takes: what the slowest stage computes.
  double least_step(const Partition& partition, int micro_batches) const {
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

struct Timed {
  Partition partition;
  std::int64_t short_bytes = 0;  // beyond the stages' memory, in total
  double seconds = std::numeric_limits<double>::infinity();
  std::int64_t bytes = 0;  // of the largest stage

  bool is_better_than(const Timed& other) const {
    if (short_bytes != other.short_bytes) return short_bytes < other.short_bytes;
    if (seconds * equal_seconds < other.seconds) return true;
    return seconds <= other.seconds && bytes < other.bytes;
  }
};

class TimedSearch {
 public:
  TimedSearch(const BalanceProblem& problem, const StepTimer& timer, std::size_t work)
      : problem_(problem),
        timer_(timer),
        model_(problem),
        part_seconds_(problem),
        parts_(static_cast<std::size_t>(model_.parts())),
        trial_(timer.actions() + problem.blocks.size() * problem.blocks.front().choices.size()),
        // Enough to improve the first partitions, whatever a trial costs.
        left_(std::max(work, 20 * trial_)) {}

  Partition run() {
    best_ = timed(even_partition(model_.blocks(), model_.parts()));
    const std::size_t all = left_;
    for (const Partition& start : {best_.partition, balance(problem_).partition}) {
      const std::size_t third = all / 3;
      improve(start, left_ > third ? left_ - third : 0);
    }
    const auto most = static_cast<double>(left_ / parts_);
    if (count_partitions(model_.blocks(), model_.parts(), most) <= most) {
      try_all();
    } else {
      std::mt19937 random(1);  // its numbers are the same everywhere
      while (left_ > 0) improve(disturbed(best_.partition, random), 0);
    }
    return best_.partition;
  }

 private:
  void spend(std::size_t work) { left_ -= std::min(left_, work); }

  void try_all() {
    Partition partition = first_partition(model_.blocks(), model_.parts());
    do try_one(partition, best_);
    while (left_ > 0 && next_partition(partition));
  }

  // Moves boundaries from `start` until no move helps, or no more than so much work is left.
  void improve(const Partition& start, std::size_t reserve) {
    reserve_ = reserve;
    current_ = timed(start);
    while (left_ > reserve_ && (move_one() || move_two())) {
    }
    if (current_.is_better_than(best_)) best_ = current_;
  }

  // Whether this partition is better than `known`, which it then replaces.
  bool try_one(const Partition& partition, Timed& known) {
    spend(parts_);
    if (known.short_bytes == 0 && part_seconds_.least_step(partition, problem_.micro_batches) >
                                      known.seconds * equal_seconds) {
      return false;
    }
    Timed other = timed(partition);
    if (!other.is_better_than(known)) return false;
    known = std::move(other);
    return true;
  }

  Timed timed(const Partition& partition) {
    spend(trial_);
    Timed result{.partition = partition};
    std::vector<int> choices;
    for (int stage = 0; stage < model_.stages(); ++stage) {
      const LoadSum sum = model_.sum_of(stage, partition);
      const Load load = sum.best(model_.memory(stage)).value_or(sum.smallest());
      result.short_bytes += std::max<std::int64_t>(load.bytes - model_.memory(stage), 0);
      result.bytes = std::max(result.bytes, load.bytes);
      choices.push_back(load.choice);
    }
    result.seconds = timer_.seconds(part_seconds_.of(partition, choices));
    return result;
  }

  // Moves a boundary by some blocks; false if a part would be left without one.
  static bool move(Partition& partition, std::size_t boundary, int distance) {
    LayerRange &left = partition[boundary], &right = partition[boundary + 1];
    if (left.size() + distance < 1 || right.size() - distance < 1) return false;
    left.end += distance;
    right.begin += distance;
    return true;
  }

  bool try_move(std::size_t boundary, int distance) {
    Partition moved = current_.partition;
    return move(moved, boundary, distance) && try_one(moved, current_);
  }

  bool try_moves(std::size_t a, int by_a, std::size_t b, int by_b) {
    Partition moved = current_.partition;
    return move(moved, a, by_a) && move(moved, b, by_b) && try_one(moved, current_);
  }

  bool move_one() {
    for (const int distance : {1, -1, 2, -2}) {
      for (std::size_t boundary = 0; boundary + 1 < parts_ && left_ > reserve_; ++boundary) {
        if (try_move(boundary, distance)) return true;
      }
    }
    return false;
  }

  bool move_two() {
    const std::size_t boundaries = parts_ - 1;
    for (std::size_t apart = 1; apart < boundaries; ++apart) {
      for (std::size_t a = 0; a + apart < boundaries && left_ > reserve_; ++a) {
        for (const auto& [by_a, by_b] : {std::pair(1, 1), {-1, -1}, {1, -1}, {-1, 1}}) {
          if (try_moves(a, by_a, a + apart, by_b)) return true;
        }
      }
    }
    return false;
  }

  // Moves some boundaries by up to three blocks.
  static Partition disturbed(Partition partition, std::mt19937& random) {
    const auto boundaries = static_cast<unsigned>(partition.size()) - 1;
    for (auto moves = 1 + random() % boundaries; moves > 0; --moves) {
      const std::size_t boundary = random() % boundaries;
      const int distance = static_cast<int>(random() % 3) + 1;
      move(partition, boundary, random() % 2 == 0 ? distance : -distance);
    }
    return partition;
  }

  const BalanceProblem& problem_;
  const StepTimer& timer_;
  BalanceModel model_;
  PartSeconds part_seconds_;
  std::size_t parts_, trial_;           // work of looking at a partition, and of timing it
  std::size_t left_ = 0, reserve_ = 0;  // work
  Timed best_, current_;
};

}  // namespace

Balance balance(const BalanceProblem& problem, const StepTimer& timer, std::size_t work) {
  return load_of(problem, TimedSearch(problem, timer, work).run(), timer);
}

Balance load_of(const BalanceProblem& problem, const Partition& partition, const StepTimer& timer) {
  Balance balance = load_of(problem, partition);
  std::vector<int> choices;
  for (const StageLoad& stage : balance.stages) choices.push_back(stage.choice);
  balance.step_seconds = timer.seconds(PartSeconds(problem).of(partition, choices));
  return balance;
}

}  // namespace masformer
