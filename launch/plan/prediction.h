// What a training step of a plan is expected to take, before anything is started.
#pragma once

#include <cstdint>
#include <vector>

#include "launch/plan/run_plan.h"
#include "launch/plan/step_costs.h"

namespace masformer {

// What each rank of a pipeline stage takes.
struct StagePrediction {
  double seconds = 0;     // of one micro-batch, in all passes of all its parts
  double idle_share = 0;  // of the time from its first action to its last
  MemoryTable memory;     // of the rank that needs most
};

struct SentBytesEstimate {
  double pipeline = 0, data = 0, context = 0, tensor = 0;
};

struct Prediction {
  // Seconds of one micro-batch, forward and backward, by block of the model.
  std::vector<double> block_seconds;
  double embedding_seconds = 0, head_seconds = 0;
  std::vector<StagePrediction> stages;
  StepSimulation step;
  double bubble = 0;  // mean idle share of the stages, as in metrics.jsonl
  double tokens_per_second = 0;
  double flops_per_second = 0;  // of all ranks; visible pairs only
  double mfu = 0;               // its share of the devices' peak
  SentBytesEstimate sent;       // by all ranks in a step, as in metrics.jsonl

  double step_seconds() const { return step.seconds; }
};

Prediction predict(const RunPlan& plan, const DeviceFigures& figures, const LayerTimes& times);

// In two parts, since planning the memory takes much longer than all else: the prediction without
// it, and the memory of each stage.
Prediction predict_times(const RunPlan& plan, const DeviceFigures& figures,
                         const LayerTimes& times);
void predict_memory(const RunPlan& plan, Prediction& prediction);

}  // namespace masformer
