// A partition for a schedule whose step no formula gives. A trial is quick, so a plain search by
// moves does, repeated from disturbed partitions until it has tried a number of them that depends
// on the size of the problem only.

#include <algorithm>
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
};

struct Timed {
  Partition partition;
  std::int64_t short_bytes = 0;  // beyond the stages' memory, in total
  double seconds = 0;

  bool is_better_than(const Timed& other) const {
    if (short_bytes != other.short_bytes) return short_bytes < other.short_bytes;
    return seconds * equal_seconds < other.seconds;
  }
};

class TimedSearch {
 public:
  TimedSearch(const BalanceProblem& problem, const StepTimer& timer, std::size_t work)
      : problem_(problem),
        timer_(timer),
        model_(problem),
        part_seconds_(problem),
        trials_(std::max<std::size_t>(work / steps_of_a_trial(problem, timer), 20)) {}

  Partition run(const Partition& start) {
    const int parts = problem_.placement.parts();
    const auto limit = static_cast<double>(trials_);
    return count_partitions(model_.blocks(), parts, limit) <= limit ? best_of_all(start)
                                                                    : best_of_moves(start);
  }

 private:
  // A trial goes through the actions, and through the choices of all blocks.
  static std::size_t steps_of_a_trial(const BalanceProblem& problem, const StepTimer& timer) {
    return timer.actions() + problem.blocks.size() * problem.blocks.front().choices.size();
  }

  Partition best_of_all(const Partition& start) {
    take(start);  // which counts if another one is as good
    Partition partition = first_partition(model_.blocks(), problem_.placement.parts());
    do take_if_better(partition);
    while (next_partition(partition));
    return best_.partition;
  }

  Partition best_of_moves(const Partition& start) {
    improve(start, trials_ / 3);
    Timed found = std::move(best_);
    improve(even_partition(model_.blocks(), problem_.placement.parts()), 2 * trials_ / 3);
    if (best_.is_better_than(found)) found = best_;
    std::mt19937 random(1);  // its numbers are the same everywhere
    while (tried_ < trials_) {
      improve(disturbed(found.partition, random), trials_);
      if (best_.is_better_than(found)) found = best_;
    }
    return found.partition;
  }

  Timed timed(const Partition& partition) const {
    Timed result{.partition = partition};
    std::vector<int> choices;
    for (int stage = 0; stage < model_.stages(); ++stage) {
      const LoadSum sum = model_.sum_of(stage, partition);
      const Load load = sum.best(model_.memory(stage)).value_or(sum.smallest());
      result.short_bytes += std::max<std::int64_t>(load.bytes - model_.memory(stage), 0);
      choices.push_back(load.choice);
    }
    result.seconds = timer_.seconds(part_seconds_.of(partition, choices));
    return result;
  }

  void take(const Partition& partition) { best_ = timed(partition); }

  bool take_if_better(const Partition& partition) {
    Timed other = timed(partition);
    if (!other.is_better_than(best_)) return false;
    best_ = std::move(other);
    return true;
  }

  // Until no move helps, or so many partitions have been tried.
  void improve(const Partition& start, std::size_t limit) {
    take(start);
    ++tried_;
    limit_ = limit;
    while (tried_ < limit_ && (move_one() || move_two())) {
    }
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
    Partition moved = best_.partition;
    if (!move(moved, boundary, distance)) return false;
    ++tried_;
    return take_if_better(moved);
  }

  bool try_moves(std::size_t a, int by_a, std::size_t b, int by_b) {
    Partition moved = best_.partition;
    if (!move(moved, a, by_a) || !move(moved, b, by_b)) return false;
    ++tried_;
    return take_if_better(moved);
  }

  bool move_one() {
    for (const int distance : {1, -1, 2, -2}) {
      for (std::size_t boundary = 0; boundary + 1 < best_.partition.size() && tried_ < limit_;
           ++boundary) {
        if (try_move(boundary, distance)) return true;
      }
    }
    return false;
  }

  bool move_two() {
    const std::size_t boundaries = best_.partition.size() - 1;
    for (std::size_t apart = 1; apart < boundaries && tried_ < limit_; ++apart) {
      for (std::size_t a = 0; a + apart < boundaries && tried_ < limit_; ++a) {
        for (const auto& [by_a, by_b] : {std::pair(1, 1), {-1, -1}, {1, -1}, {-1, 1}}) {
          if (try_moves(a, by_a, a + apart, by_b)) return true;
        }
      }
    }
    return false;
  }

  const BalanceProblem& problem_;
  const StepTimer& timer_;
  BalanceModel model_;
  PartSeconds part_seconds_;
  std::size_t trials_, tried_ = 0, limit_ = 0;
  Timed best_;
};

}  // namespace

Balance balance(const BalanceProblem& problem, const StepTimer& timer, const Partition& start,
                std::size_t work) {
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
