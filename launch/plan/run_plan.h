// Derives from the options all that is decided before training: the model, the mesh, the partition,
// the schedules and each rank's memory. Uses no MPI, and does not allocate the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/options/options.h"
#include "launch/plan/plan_inputs.h"
#include "model/optimizer.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/schedule.h"

namespace masformer {

// How long one micro-batch takes on each stage by the cost model, in all passes, and the step by
// the measure that partitions are compared by; beside that the same for an even partition.
struct Forecast {
  std::string source;  // where the partition is from: "auto", "as before", "as set"
  std::string costs;   // LayerTimes::source()
  std::vector<double> stage_seconds{}, even_stage_seconds{};
  double step_seconds = 0, even_step_seconds = 0;
  Partition even{};
  // Bytes that each rank was to stay within; PlanInputs::unlimited if none was known.
  std::int64_t memory_limit = PlanInputs::unlimited;
};

// Where the order of a schedule is from.
enum class OrderSource {
  generator,  // the schedule's own
  search,     // the one that `auto` found
  record,     // the checkpoint to resume from, which `auto` keeps
};

// What a run keeps of the context ranks' work because its checkpoint records it.
struct KeptContext {
  bool order = false, full = false;  // policy.sharding, policy.context_full
};

struct RunPlan {
  ModelConfig model;
  Mesh mesh;
  Partition partition;
  StagePolicy policy;
  int micro_batches = 1;  // per data rank and step
  std::int64_t global_batch = 1;
  Schedule training, evaluation;
  OrderSource order_source = OrderSource::generator;  // of `training`
  bool records_order = false;  // whether `training` depends on costs, so that checkpoints record it
  OptimizerConfig optimizer;
  Forecast forecast;         // of training only
  KeptContext kept_context;  // of training only

  StageSpec describe_stage(const Coordinate& at) const;
  // Plans what a rank's stage runs. Always returns the same plan, and is cheap enough to call for
  // every rank.
  StagePlan plan_stage(const StageSpec& stage, Purpose purpose) const;
};

// The plan of a training run. `store_vocab`: the token store's vocabulary, used if model.vocab is
// 0. Throws UsageError with every violation, one per line; or, if the stages exceed
// plan.memory_gib, with what each would take and the nearest layout that fits.
RunPlan make_run_plan(const Options& options, int ranks, std::int64_t store_vocab,
                      const PlanInputs& inputs = {});
// The plan of an evaluation of `model`; ignores the model in the options. Its batch is
// train.micro_batch windows for each stage and data rank; train.global_batch is ignored.
RunPlan make_evaluation_plan(const Options& options, int ranks, ModelConfig model);

}  // namespace masformer
