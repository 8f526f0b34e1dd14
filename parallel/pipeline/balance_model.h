// The costs of a BalanceProblem in the form that the solvers compare: as integers, summed over
// ranges of blocks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "parallel/pipeline/balance.h"

namespace masformer {

// Time as a multiple of a small part of the slowest layer: see BalanceModel. Sums of ticks are
// exact and do not depend on their order, so that equal partitions compare as equal.
using Ticks = std::int64_t;

inline double squared(Ticks ticks) {
  return static_cast<double>(ticks) * static_cast<double>(ticks);
}

// What a stage takes under one choice.
struct Load {
  Ticks ticks = 0;
  std::int64_t bytes = 0;
  int choice = 0;
};

inline constexpr std::size_t max_choices = 4;  // of a stage; an array of them is copied often

// The sums over some blocks and ends of one stage, by choice.
class LoadSum {
 public:
  explicit LoadSum(std::size_t choices) : choices_(choices) {}

  void add(std::size_t choice, Ticks ticks, std::int64_t bytes, std::int64_t working) {
    Sum& sum = sums_[choice];
    sum.ticks += ticks;
    sum.bytes += bytes;
    sum.working = std::max(sum.working, working);
  }
  // The fastest choice within `memory`; of several, the smallest. Nothing if none is.
  std::optional<Load> best(std::int64_t memory) const;
  // The choice that takes the least memory; of several, the fastest.
  Load smallest() const;
  std::int64_t bytes_of(std::size_t choice) const {
    return sums_[choice].bytes + sums_[choice].working;
  }
  std::size_t choices() const { return choices_; }

 private:
  struct Sum {
    Ticks ticks = 0;
    std::int64_t bytes = 0, working = 0;
  };

  std::size_t choices_;
  std::array<Sum, max_choices> sums_{};  // [choice]
};

class BalanceModel {
 public:
  // Throws Error if the parts of the problem do not fit together, UsageError if there are fewer
  // blocks than parts.
  explicit BalanceModel(const BalanceProblem& problem);

  int blocks() const { return static_cast<int>(problem_->blocks.size()); }
  int parts() const { return problem_->placement.parts(); }
  int stages() const { return problem_->placement.stages(); }
  std::int64_t memory(int stage) const { return problem_->memory[static_cast<std::size_t>(stage)]; }

  // A stage that holds nothing but the ends that are on it.
  LoadSum ends_of(int stage) const;
  void add_block(LoadSum& sum, int block, int part) const;
  LoadSum sum_of(int stage, const Partition& partition) const;

  // The objective: (m - 1) slowest + sum.
  Ticks step(Ticks slowest, Ticks sum) const { return repeats_ * slowest + sum; }
  // If each block and end had its fastest choice.
  Ticks least_sum() const { return least_sum_; }
  // If each had its slowest one.
  Ticks largest_sum() const { return largest_sum_; }
  Ticks slowest_block() const { return slowest_block_; }

  // The result for a partition with these choices.
  Balance result(const Partition& partition, const std::vector<int>& choices) const;

 private:
  Ticks ticks(const PassSeconds& seconds) const;
  void add_end(LoadSum& sum, const BalanceEnd& end, int part) const;

  const BalanceProblem* problem_;
  double unit_ = 1;                              // seconds of a tick
  Ticks repeats_ = 0;                            // m - 1
  std::vector<std::vector<Ticks>> block_ticks_;  // [block][choice]
  Ticks least_sum_ = 0, largest_sum_ = 0, slowest_block_ = 0;
};

// Throws Error unless the partition has the problem's parts and blocks.
void check_partition(const BalanceProblem& problem, const Partition& partition);

// The best partition into parts of which each stage holds one; nothing if none fits.
std::optional<Balance> solve_exactly(const BalanceModel& model);
// The partition whose stages exceed their memory least, with one part per stage.
Balance least_short(const BalanceModel& model);

}  // namespace masformer
