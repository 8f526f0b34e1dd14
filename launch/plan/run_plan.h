// From options to everything that is decided before training: the model, the mesh, the partition,
// the schedules and each rank's memory. Pure: it needs neither MPI nor the model's memory.
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
  // What the rank's stage will run; deterministic, and cheap enough to ask for every rank.
  StagePlan plan_stage(const StageSpec& stage, Purpose purpose) const;
};

// `store_vocab`: the token store's, for model.vocab=0. Throws UsageError with every violation, one
// a line.
RunPlan make_run_plan(const Options& options, int ranks, std::int64_t store_vocab);
// The same for a model that is given, whatever the options say of one.
RunPlan make_run_plan(const Options& options, int ranks, ModelConfig model);

// The start-up page: layout, partition, parameters, memory per rank.
std::string describe(const RunPlan& plan);
// What each pipeline stage takes of a rank's memory, as describe() shows it.
std::string describe_memory(const RunPlan& plan, Purpose purpose);

}  // namespace masformer
