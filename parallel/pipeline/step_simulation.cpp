#include "parallel/pipeline/step_simulation.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace masformer {
namespace {

using Layers = std::vector<LayerSeconds>;

// Whether the action computes the last gradients of its part's weights.
bool finishes_gradients(const Schedule& schedule, const Action& action) {
  return action.micro_batch == schedule.micro_batches - 1 &&
         (action.kind == ActionKind::backward || action.kind == ActionKind::backward_weight);
}

class StepSimulator {
 public:
  StepSimulator(const Schedule& schedule, const StepCosts& costs)
      : schedule_(schedule), costs_(costs) {
    require(std::ssize(costs.parts) == schedule.placement.parts() &&
                std::ssize(costs.update) == schedule.stages(),
            "there are costs of {} parts and {} stages, but the schedule has {} and {}",
            costs.parts.size(), costs.update.size(), schedule.placement.parts(), schedule.stages());
  }

  StepSimulation run() {
    PipelineCosts pipeline{.parts = part_sums(costs_),
                           .link = costs_.link,
                           .hand_over_seconds = costs_.hand_over_seconds,
                           .slowdown = costs_.slowdown,
                           .start = costs_.update,
                           .first_forward = {}};
    StepSimulation result{.pipeline = simulate(schedule_, pipeline), .reduced = {}};
    // How long a first forward waits for weights depends on when it begins, and that on the waits
    // of the stages before: each round settles one more part.
    for (int round = 0; round < schedule_.placement.parts(); ++round) {
      std::vector<double> waits = waits_for_weights(result.pipeline);
      if (waits == pipeline.first_forward) break;
      pipeline.first_forward = std::move(waits);
      result.pipeline = simulate(schedule_, pipeline);
    }
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      result.reduced.push_back(reduced_at(stage, result.pipeline));
    }
    result.seconds = *std::ranges::max_element(result.reduced) + costs_.norm;
    return result;
  }

 private:
  const Layers& layers_of(int stage, int chunk) const {
    return costs_.parts[static_cast<std::size_t>(schedule_.placement.part(stage, chunk))];
  }

  // [part] How much longer its first forward takes.
  std::vector<double> waits_for_weights(const Simulation& pipeline) const {
    std::vector<double> waits(costs_.parts.size());
    for (int stage = 0; stage < schedule_.stages(); ++stage) {
      // The weights of a stage's layers travel in order, from the update on.
      double arrived = costs_.update[static_cast<std::size_t>(stage)];
      for (int chunk = 0; chunk < schedule_.chunks(); ++chunk) {
        double now = begin_of({ActionKind::forward, 0, chunk}, stage, pipeline), wait = 0;
        for (const LayerSeconds& layer : layers_of(stage, chunk)) {
          arrived += layer.gather;
          wait += std::max(arrived - now, 0.0);
          now = std::max(now, arrived) + slowdown_of(costs_.slowdown, stage) * layer.passes.forward;
        }
        waits[static_cast<std::size_t>(schedule_.placement.part(stage, chunk))] = wait;
      }
    }
    return waits;
  }

  double begin_of(const Action& action, int stage, const Simulation& pipeline) const {
    const auto at = static_cast<std::size_t>(stage);
    const auto place = std::ranges::find(schedule_.actions[at], action);
    return pipeline.actions[at][static_cast<std::size_t>(place - schedule_.actions[at].begin())]
        .begin;
  }

  // When a stage has summed the gradients of all its layers.
  double reduced_at(int stage, const Simulation& pipeline) const {
    const auto at = static_cast<std::size_t>(stage);
    const std::vector<Action>& actions = schedule_.actions[at];
    double reduced = 0, sums_end = 0;
    for (std::size_t i = 0; i < actions.size(); ++i) {
      reduced = std::max(reduced, pipeline.actions[at][i].end);
      if (!finishes_gradients(schedule_, actions[i])) continue;
      const Layers& layers = layers_of(stage, actions[i].chunk);
      double now = pipeline.actions[at][i].begin;
      for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
        now += slowdown_of(costs_.slowdown, stage) * seconds_of(actions[i].kind, layer->passes);
        sums_end = std::max(sums_end, now) + layer->reduce;
      }
    }
    return std::max(reduced, sums_end);
  }

  const Schedule& schedule_;
  const StepCosts& costs_;
};

}  // namespace

std::vector<PassSeconds> part_sums(const StepCosts& costs) {
  std::vector<PassSeconds> sums;
  for (const Layers& layers : costs.parts) {
    PassSeconds& sum = sums.emplace_back();
    for (const LayerSeconds& layer : layers) sum += layer.passes;
  }
  return sums;
}

StepSimulation simulate_step(const Schedule& schedule, const StepCosts& costs) {
  return StepSimulator(schedule, costs).run();
}

}  // namespace masformer
