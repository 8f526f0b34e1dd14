// Divides a model's blocks among the pipeline stages so that a step takes the least time within
// each stage's memory. The blocks are numbers here: what they cost is known to whoever describes
// the problem (model/cost/).
//
// Unless a StepTimer says what a step of another schedule takes, its time is that of 1F1B on m
// micro-batches: the slowest stage takes part in all of them, and the first one passes through all
// stages before the pipeline is full and after it drains,
//
//   step = (m - 1) max_s T_s + sum_s T_s
//
// where T_s is what one micro-batch takes on stage s in all passes (Narayanan et al., arXiv
// 2104.04473, section 2.2, for stages that differ). With one part per stage the result is the best
// of all partitions, by this measure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/pass_seconds.h"
#include "parallel/pipeline/placement.h"
#include "parallel/pipeline/schedule_timer.h"

namespace masformer {

// What one block costs if its stage makes one choice, such as a kind of recomputation.
struct BlockCost {
  PassSeconds seconds;
  std::int64_t held_bytes = 0;     // for each micro-batch that its part holds for backward_input
  std::int64_t working_bytes = 0;  // while it runs; the blocks of a stage share this memory
  std::int64_t waiting_bytes = 0;  // for each micro-batch that waits for its backward_weight only
};

struct BalanceBlock {
  std::int64_t fixed_bytes = 0;  // weights, gradients, optimizer state
  // By choice; all blocks have the same choices. A stage makes one choice for all its blocks.
  std::vector<BlockCost> choices;
};

// The layers before the first block, or behind the last. They cost the same under every choice.
struct BalanceEnd {
  std::int64_t fixed_bytes = 0;
  BlockCost cost;
};

struct BalanceProblem {
  std::vector<BalanceBlock> blocks;
  BalanceEnd embedding, head;
  Placement placement = Placement::round_robin(1);
  int micro_batches = 1;
  // [part] The most micro-batches that wait for backward_input at once, and by how much the most
  // that wait for either half of the backward exceed them (held_memory.h); the latter empty: 0.
  std::vector<int> held, waiting;
  std::vector<std::int64_t> memory;  // [stage] bytes that it may take
};

struct StageLoad {
  int choice = 0;
  double seconds = 0;      // of one micro-batch, in all passes
  std::int64_t bytes = 0;  // at the peak
};

struct Balance {
  Partition partition;
  std::vector<StageLoad> stages;
  double step_seconds = 0;
  bool fits = true;  // whether every stage is within its memory
};

// The partition whose step takes the least time, and each stage's choice. Of several: the one with
// the fastest slowest stage, then with the least memory on the stage that takes the most, then with
// the most even stages, then with the longer stages first. If none fits, returns the one whose
// stages exceed their memory least.
//
// Always returns the same partition for the same costs, and for costs scaled by any factor: times
// are compared as integers, in units of a small part of the slowest layer.
//
// Throws UsageError if there are fewer blocks than stages, Error if stages have several parts.
Balance balance(const BalanceProblem& problem);

// The same for a partition that is given, into one or several parts per stage: only the stages'
// choices are free.
Balance load_of(const BalanceProblem& problem, const Partition& partition);

// Where a search for another schedule's partition starts: that of balance(problem), or for several
// parts per stage, the best partition into as many stages as there are parts, whatever memory that
// takes.
Partition start_of_search(BalanceProblem problem);

inline constexpr std::size_t thorough_search = 40'000'000;
inline constexpr std::size_t brief_search = 100'000;

// A partition for the schedule of `timer`, which is of the problem's placement; stages may have
// several parts. Boundaries move, alone and in pairs, while the step gets shorter: from even parts
// and from `start`, so that the result is never worse than these. Then all partitions are tried; or
// if `work`, the number of actions, blocks and parts that the search may go through, does not
// suffice for that, boundaries move again from disturbed partitions.
//
// The memory that is exceeded counts first, then the step, of equal steps the memory of the stage
// that takes the most. Steps are compared as whole billionths of the even partition's.
// Deterministic. Throws Error unless `start` is a partition of the problem.
Balance balance(const BalanceProblem& problem, const StepTimer& timer, const Partition& start,
                std::size_t work = thorough_search);
Balance load_of(const BalanceProblem& problem, const Partition& partition, const StepTimer& timer);

}  // namespace masformer
