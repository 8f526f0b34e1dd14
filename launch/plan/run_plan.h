// From options to everything that is decided before training: the model, the mesh, the partition,
// the schedules and each rank's memory. It needs neither MPI nor the model's memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/options/options.h"
#include "model/optimizer.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/schedule.h"

namespace masformer {

struct RunPlan {
  ModelConfig model;
  Mesh mesh;
  Partition partition;
  StagePolicy policy;
  int micro_batches = 1;  // of each data rank in a step
  std::int64_t global_batch = 1;
  Schedule training, evaluation;
  OptimizerConfig optimizer;

  StageSpec describe_stage(const Coordinate& at) const;
  // What the rank's stage will run. Gives the same plan every time, and is cheap enough to call for
  // every rank.
  StagePlan plan_stage(const StageSpec& stage, Purpose purpose) const;
};

// The plan of a training run. `store_vocab`: the token store's, for model.vocab=0. Throws
// UsageError with every violation, one per line.
RunPlan make_run_plan(const Options& options, int ranks, std::int64_t store_vocab);
// The plan of an evaluation of `model`, whatever the options say of one. Its batch is
// train.micro_batch windows for each stage and data rank; train.global_batch is not looked at.
RunPlan make_evaluation_plan(const Options& options, int ranks, ModelConfig model);

}  // namespace masformer
