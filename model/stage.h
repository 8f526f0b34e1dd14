// One pipeline stage: the layers of one rank, their parameters, and the memory they work in.
//
// StageSpec is pure: it says what a rank will hold and how much memory that takes, for any
// rank of any mesh. Stage holds it, and computes what a schedule asks for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/layers/layer.h"
#include "model/memory/activation_plan.h"
#include "model/parameter_sync.h"
#include "parallel/pipeline/executor.h"
#include "parallel/pipeline/partition.h"
#include "runtime/arena.h"
#include "runtime/ops/elementwise.h"
#include "runtime/upload.h"

namespace masformer {

// How a stage computes: only `dtype` changes the result by more than rounding.
struct StagePolicy {
  MicroBatchShape shape;
  bool sequence_parallel = true;       // see TokenShards
  std::vector<Recompute> recompute{};  // by block of the model; empty: none of any
  DType dtype = DType::f32;            // or bf16: of weights, activations and their gradients
  Device device = Device::cpu;
  bool deterministic = false;  // as the stream's

  Recompute recompute_of(int block) const {
    return recompute.empty() ? Recompute::none : recompute[static_cast<std::size_t>(block)];
  }
};

struct StageSpec {
  // Blocks `range` of the model for the rank at `at`; the first stage embeds, the last has the
  // head.
  StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at, LayerRange range,
            const StagePolicy& policy);

  std::vector<std::unique_ptr<Layer>> layers;
  StagePasses passes;
  std::vector<ParameterSpec> parameters;
  std::vector<ParameterRange> layer_parameters;  // which of them each layer declared
  std::vector<BufferSpec> buffers;
  // boundary[i] is the buffer between layer i - 1 and layer i, gradient[i] its gradient; none at
  // the model's ends.
  std::vector<std::optional<BufferId>> boundary, gradient;
  MicroBatchShape shape;
  TokenShards shards;  // of the residual stream over the tensor axis
  std::int64_t hidden;
  DType dtype;             // of activations, and of the weights that layers compute with
  std::int64_t workspace;  // bytes that its ops work in when it trains: 0 on the CPU
  bool on_host, deterministic;
  bool first, last;
  int pipe;   // its place in the pipeline
  int ranks;  // of all stages
  int tensor_ranks, data_ranks;
  // The token table, where first and last stage are two and share it.
  std::optional<ParameterId> shared_table;

  // This rank's rows of the residual stream.
  Shape activations() const { return {shards.own().count, hidden}; }
  // The gradient on its way to the previous stage in bytes, kept apart from the plan since its
  // sending outlasts its micro-batch.
  std::int64_t sent_gradient_bytes() const;

 private:
  // `declarer`: of the layers so far, this one included.
  void add(std::unique_ptr<Layer> layer, const ParameterRegistry& declarer);
  void declare_boundaries();
};

// What a stage is going to run, for one step of training and one of evaluation.
struct StagePlan {
  Purpose purpose = Purpose::training;
  int micro_batches = 1;
  ActivationPlan training;  // of no actions where the purpose is evaluation
  ActivationPlan evaluation;
  int messages = 0;  // between stages that are under way at once at most

  std::int64_t peak() const { return std::max(training.peak(), evaluation.peak()); }
};

// Replays the actions that the two schedules have for this stage.
StagePlan plan_stage(const StageSpec& stage, Purpose purpose, const Schedule& training,
                     const Schedule& evaluation);

// What one rank's memory holds, in bytes: the device's, where the stage is on one.
struct MemoryTable {
  // `optimizer`: masters and moments.
  std::int64_t weights = 0, gradients = 0, optimizer = 0, activations = 0, batch = 0;
  // What is under way between ranks and not yet in its place. Of devices, what they send goes
  // through memory of the host or of NCCL.
  std::int64_t messages = 0;
  std::int64_t workspace = 0;  // of the ops: workspace.h

  std::int64_t total() const {
    return weights + gradients + optimizer + activations + batch + messages + workspace;
  }
};

// A micro-batch's tokens, labels and positions, each in a row that starts on an arena's border.
Shape ids_shape(const MicroBatchShape& shape);

MemoryTable plan_memory(const StageSpec& stage, const StagePlan& plan);

// What a stage on a device takes of its host's memory besides, in bytes.
struct HostMemoryTable {
  std::int64_t batch = 0;       // tokens, on their way to the device
  std::int64_t checkpoint = 0;  // tensors on their way from files or to them
  std::int64_t messages = 0;    // tensors on their way to other ranks, where they are staged

  std::int64_t total() const { return batch + checkpoint + messages; }
};

HostMemoryTable plan_host_memory(const StageSpec& stage, const StagePlan& plan, bool staged);

class Stage final : public PipelineStage {
 public:
  // Takes all the memory that the plan says. `groups` and `stream` outlive the stage.
  Stage(StageSpec description, StagePlan plan, const Stream& stream, const ProcessGroups& groups);

  ParameterSet& parameters() { return parameters_; }
  // Sums gradients while the last micro-batch goes backward, and waits for values layer by layer.
  ParameterSync& sync() { return sync_; }
  const ParameterSet& parameters() const { return parameters_; }
  const ParameterSync& sync() const { return sync_; }
  const StageSpec& description() const { return description_; }
  const StagePlan& plan() const { return plan_; }
  // What the stage has taken. As `messages`, what its groups hold by now for their sums: once a
  // step is done, all that is planned.
  MemoryTable memory() const;

  // Micro-batch `index` of the step to come; the vectors are [tokens] and have been read on return.
  void set_micro_batch(int index, const std::int32_t* tokens, const std::int32_t* labels,
                       const std::int32_t* positions);
  // Starts a step: zeroes the gradients and the loss. `predicted_tokens` is the whole step's, over
  // all data ranks.
  void begin_training(std::int64_t predicted_tokens);
  // Starts an evaluation: zeroes the loss.
  void begin_evaluation();
  // [1] fp64: the sum of the step's losses so far, in nats; 0 on all but the last stage. All tensor
  // ranks have the same. Belongs to the caller from a step's end to the next one's begin.
  Tensor loss() const { return loss_; }
  // The same number. Waits for the stream.
  double loss_sum() const { return scalar(stream_, loss_); }

  Tensor input(const Action& action) override;
  Tensor output(const Action& action) override;
  Tensor input_gradient(const Action& action) override;
  Tensor output_gradient(const Action& action) override;
  void run(const Action& action) override;

  // Where an action finds a buffer of its micro-batch; empty where it does not need it.
  Tensor buffer(const Action& action, BufferId id) const;

 private:
  Tensor buffer(const Action& action, const std::optional<BufferId>& id) const;
  void run_pass(const ProgramPoint& point, LayerContext& run);

  StageSpec description_;
  const Stream& stream_;
  const ProcessGroups& groups_;
  StagePlan plan_;
  ParameterSet parameters_;
  ParameterSync sync_;
  Arena activations_, batches_, sent_gradients_;
  Tensor sent_gradient_;
  std::vector<MicroBatch> micro_batches_;
  std::vector<Upload> uploads_;  // of each micro-batch's tokens, labels and positions
  bool evaluating_ = false;
  Tensor loss_;  // [1] fp64
};

}  // namespace masformer
