// Simulates a whole training step, from one update of the weights to the next: the pipeline
// (simulation.h), the sums of gradients over replicas that begin in the last micro-batch's
// backward, the global norm, for which all ranks meet, the update, and the updated weights that
// arrive while the next step's first forwards run. All replicas are alike, so one of them is
// simulated.
#pragma once

#include <vector>

#include "parallel/pipeline/simulation.h"

namespace masformer {

struct LayerSeconds {
  PassSeconds passes;  // of one micro-batch
  double reduce = 0;   // the sum of its gradients over the replicas
  double gather = 0;   // sending its updated weights to the replicas
};

struct StepCosts {
  std::vector<std::vector<LayerSeconds>> parts;  // [part][layer], in the order of the model
  LinkCosts link;                                // between stages
  double hand_over_seconds = 0;
  std::vector<double> slowdown;  // [stage], as in PipelineCosts
  std::vector<double> update;    // [stage] the optimizer, and zeroing the gradients
  double norm = 0;               // of the global norm and the loss, once all ranks are there
};

struct StepSimulation {
  Simulation pipeline;          // begins when the first stage begins to update
  std::vector<double> reduced;  // [stage] when its gradients are summed
  double seconds = 0;           // of the step, in a row of equal steps
};

// [part]: the sum over its layers.
std::vector<PassSeconds> part_sums(const StepCosts& costs);

// A rank has one operation with its replicas under way at a time, in the order in which layers
// finish. A layer's first forward waits for its weights. `schedule` is valid and trains.
StepSimulation simulate_step(const Schedule& schedule, const StepCosts& costs);

}  // namespace masformer
