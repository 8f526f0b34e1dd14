// What a plan's step costs its ranks, in seconds: what the simulation of the step is given.
#pragma once

#include "launch/plan/run_plan.h"
#include "model/cost/device_figures.h"
#include "model/cost/layer_times.h"
#include "parallel/pipeline/step_simulation.h"

namespace masformer {

// What the result of an action costs on its way: to another stage, or to another part of its own.
struct HandOffCosts {
  LinkCosts link;
  double local_seconds = 0;
};

HandOffCosts hand_off_costs(const RunPlan& plan, const StageSpec& stage,
                            const DeviceFigures& figures);

// Layers take what `times` says; whatever else takes time is estimated from `figures`: messages
// between stages and their copies within one, sums over replicas, the norm and the optimizer.
// Tensor ranks are neighbours on a host, pipeline stages farthest apart (parallel/mesh.h).
StepCosts step_costs(const RunPlan& plan, const DeviceFigures& figures, const LayerTimes& times);

}  // namespace masformer
