// How much memory a stage takes, of its device and of its host, known before any is taken. Stage
// takes its arenas in the sizes of these tables.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/memory/activation_plan.h"
#include "model/stage_spec.h"

namespace masformer {

// What a stage is going to run, for one step of training and one of evaluation.
struct StagePlan {
  Purpose purpose = Purpose::training;
  int micro_batches = 1;
  ActivationPlan training;  // of no actions where the purpose is evaluation
  ActivationPlan evaluation;
  int messages = 0;  // between stages, in flight at once at most

  std::int64_t peak() const { return std::max(training.peak(), evaluation.peak()); }
};

// Replays the actions that the two schedules have for this stage.
StagePlan plan_stage(const StageSpec& stage, Purpose purpose, const Schedule& training,
                     const Schedule& evaluation);

// What one rank's memory holds, in bytes: the device's, where the stage is on one.
struct MemoryTable {
  // `optimizer`: masters and moments.
  std::int64_t weights = 0, gradients = 0, optimizer = 0, activations = 0, batch = 0;
  // In flight between ranks and not yet where it belongs. On devices, what is sent goes through
  // memory of the host or of NCCL.
  std::int64_t messages = 0;
  std::int64_t workspace = 0;  // of the ops: LayerSetup::workspace

  std::int64_t total() const {
    return weights + gradients + optimizer + activations + batch + messages + workspace;
  }
};

// A micro-batch's tokens, labels and positions, each in a row that starts on an arena's alignment.
Shape ids_shape(const MicroBatchShape& shape);

MemoryTable plan_memory(const StageSpec& stage, const StagePlan& plan);

// What a stage on a device takes of its host's memory as well, in bytes.
struct HostMemoryTable {
  std::int64_t batch = 0;       // tokens, on their way to the device
  std::int64_t checkpoint = 0;  // tensors on their way from files or to them
  std::int64_t messages = 0;    // tensors on their way to other ranks, where they are staged

  std::int64_t total() const { return batch + checkpoint + messages; }
};

// `staged`: tensors travel through the host, by MPI.
HostMemoryTable plan_host_memory(const StageSpec& stage, const StagePlan& plan, bool staged);

}  // namespace masformer
