#include "parallel/pipeline/held_memory.h"

#include <algorithm>

#include "runtime/error.h"

namespace masformer {
namespace {

// The change of the number of micro-batches that wait for backward_input, and for backward_weight
// alone, when an action ends (or, for a forward, begins).
struct Change {
  int input = 0, weight = 0;
};

Change change_by(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward:
      return {1, 0};
    case ActionKind::backward:
      return {-1, 0};
    case ActionKind::backward_input:
      return {-1, 1};
    case ActionKind::backward_weight:
      return {0, -1};
  }
  fail("unknown action {}", static_cast<int>(kind));
}

}  // namespace

std::vector<HeldMicroBatches> held_micro_batches(const Schedule& schedule) {
  const Placement& placement = schedule.placement;
  std::vector<HeldMicroBatches> most(static_cast<std::size_t>(placement.parts()));
  std::vector<HeldMicroBatches> held(most.size());
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    for (const Action& action : schedule.actions[static_cast<std::size_t>(stage)]) {
      const auto part = static_cast<std::size_t>(placement.part(stage, action.chunk));
      const Change change = change_by(action.kind);
      held[part].until_input += change.input;
      held[part].until_weight += change.input + change.weight;
      most[part].until_input = std::max(most[part].until_input, held[part].until_input);
      most[part].until_weight = std::max(most[part].until_weight, held[part].until_weight);
    }
  }
  return most;
}

void check_memory_sizes(const Placement& placement, const std::vector<PartMemory>& parts,
                        const std::vector<double>& limits) {
  require(parts.empty() || std::ssize(parts) == placement.parts(),
          "the memory of {} parts is given, but there are {}", parts.size(), placement.parts());
  require(std::ssize(limits) == placement.stages(),
          "there are memory limits of {} stages, but {} stages", limits.size(), placement.stages());
}

std::vector<double> peak_memory(const Schedule& schedule, const std::vector<PartMemory>& parts) {
  const Placement& placement = schedule.placement;
  require(parts.empty() || std::ssize(parts) == placement.parts(),
          "the memory of {} parts is given, but the schedule has {}", parts.size(),
          placement.parts());
  std::vector<double> peaks;
  for (int stage = 0; stage < schedule.stages(); ++stage) {
    double held = 0, peak = 0;
    for (const Action& action : schedule.actions[static_cast<std::size_t>(stage)]) {
      const auto part = static_cast<std::size_t>(placement.part(stage, action.chunk));
      const PartMemory memory = parts.empty() ? PartMemory{} : parts[part];
      const Change change = change_by(action.kind);
      held += change.input * memory.until_input + change.weight * memory.until_weight;
      peak = std::max(peak, held);
    }
    peaks.push_back(peak);
  }
  return peaks;
}

}  // namespace masformer
