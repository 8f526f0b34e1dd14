// Computes how much memory a stage needs on its device and on its host, before any is allocated.
// Stage allocates its arenas in these sizes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "model/memory/activation_plan.h"
#include "model/stage_spec.h"

namespace masformer {

// The plans of one training step and one evaluation step of a stage.
struct StagePlan {
  Purpose purpose = Purpose::training;
  int micro_batches = 1;
  ActivationPlan training;  // without actions if the purpose is evaluation
  ActivationPlan evaluation;
  int messages = 0;  // most messages between stages in flight at once

  std::int64_t peak() const { return std::max(training.peak(), evaluation.peak()); }
};

// Replays the actions of this stage in both schedules.
StagePlan plan_stage(const StageSpec& stage, Purpose purpose, const Schedule& training,
                     const Schedule& evaluation);

// Memory of one rank, in bytes: on its device if the stage is on a device, else on the host.
struct MemoryTable {
  // `optimizer`: masters and AdamW's moments.
  std::int64_t weights = 0, gradients = 0, optimizer = 0, activations = 0, batch = 0;
  // Working memory of sums between ranks. 0 on devices, whose messages use memory of the host or of
  // NCCL.
  std::int64_t messages = 0;
  std::int64_t workspace = 0;  // of the ops (LayerSetup::workspace)

  std::int64_t total() const {
    return weights + gradients + optimizer + activations + batch + messages + workspace;
  }
};

// The shape of a micro-batch's tokens, labels, positions and, with a document mask, first keys: a
// row each, aligned as arenas align.
Shape ids_shape(const StageSpec& stage);
// Of its MicroBatch::all_first_keys; no elements if there are none.
Shape all_first_keys_shape(const StageSpec& stage);

MemoryTable plan_memory(const StageSpec& stage, const StagePlan& plan);

// Host memory of a stage on a device, in bytes.
struct HostMemoryTable {
  std::int64_t batch = 0;       // tokens on their way to the device
  std::int64_t checkpoint = 0;  // tensors on their way to or from files
  std::int64_t messages = 0;    // tensors on their way to other ranks, if they are staged

  std::int64_t total() const { return batch + checkpoint + messages; }
};

// `staged`: messages travel through the host, by MPI.
HostMemoryTable plan_host_memory(const StageSpec& stage, const StagePlan& plan, bool staged);

}  // namespace masformer
