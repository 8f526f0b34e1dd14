#include "parallel/pipeline/schedules/least_step.h"

#include <algorithm>
#include <limits>

namespace masformer {
namespace {

class LeastStep {
 public:
  LeastStep(const Placement& placement, int micro_batches, const PipelineCosts& costs,
            const std::vector<PartMemory>& memory, const std::vector<double>& memory_limit)
      : placement_(placement),
        micro_batches_(micro_batches),
        costs_(costs),
        memory_(memory),
        memory_limit_(memory_limit) {
    check_costs(placement, costs);
    check_memory_sizes(placement, memory, memory_limit);
  }

  double of_stage(int stage) const {
    double computes = 0;
    int first = placement_.parts();
    for (int chunk = 0; chunk < placement_.chunks(); ++chunk) {
      const int part = placement_.part(stage, chunk);
      first = std::min(first, part);
      computes += micro_batches_ * factor(stage) * costs_of(part).total();
    }
    double forwards = 0, gradients = 0;
    for (int part = 0; part < first; ++part) {
      const double slow = factor(stage_of(part)), hop = hop_seconds(part);
      forwards += slow * costs_of(part).forward + hop;
      gradients += slow * costs_of(part).backward_input + hop;
    }
    if (first > 0) gradients += factor(stage_of(0)) * costs_of(0).backward_weight;
    return forwards + computes + std::max(gradients - weights_left(stage), 0.0);
  }

 private:
  int stage_of(int part) const { return placement_.place(part).stage; }
  const PassSeconds& costs_of(int part) const {
    return costs_.parts[static_cast<std::size_t>(part)];
  }
  double factor(int stage) const { return slowdown_of(costs_.slowdown, stage); }

  // What a result takes from a part to the next one, or a gradient back.
  double hop_seconds(int part) const {
    if (stage_of(part) == stage_of(part + 1)) return 0;  // no more than a copy
    return costs_.link.latency + costs_.link.transfer_seconds();
  }

  // The most weight gradients, in seconds, that the stage can have left after its last input
  // gradient. Each micro-batch of them holds memory.
  double weights_left(int stage) const {
    const double limit = memory_limit_[static_cast<std::size_t>(stage)];
    double all = 0, densest = 0;
    for (int chunk = 0; chunk < placement_.chunks(); ++chunk) {
      const int part = placement_.part(stage, chunk);
      const double seconds = factor(stage) * costs_of(part).backward_weight;
      const double units = memory_.empty() ? PartMemory{}.until_weight
                                           : memory_[static_cast<std::size_t>(part)].until_weight;
      int fitting = 0;
      while (fitting < micro_batches_ && fits_memory((fitting + 1) * units, limit)) ++fitting;
      all += seconds * fitting;
      densest =
          std::max(densest, units > 0 ? seconds / units : std::numeric_limits<double>::infinity());
    }
    return std::min(all, densest * limit);
  }

  const Placement& placement_;
  int micro_batches_;
  const PipelineCosts& costs_;
  const std::vector<PartMemory>& memory_;
  const std::vector<double>& memory_limit_;
};

}  // namespace

double least_step_seconds(const Placement& placement, int micro_batches, const PipelineCosts& costs,
                          const std::vector<PartMemory>& memory,
                          const std::vector<double>& memory_limit) {
  const LeastStep least(placement, micro_batches, costs, memory, memory_limit);
  double seconds = 0;
  for (int stage = 0; stage < placement.stages(); ++stage) {
    seconds = std::max(seconds, least.of_stage(stage));
  }
  return seconds;
}

}  // namespace masformer
