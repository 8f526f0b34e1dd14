// One pipeline stage: the parts of the model on one rank, their parameters and their memory. It
// allocates what its StageSpec and StagePlan say, and runs the actions of a schedule.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/memory/stage_memory.h"
#include "model/parameter_sync.h"
#include "model/stage_spec.h"
#include "parallel/pipeline/executor.h"
#include "runtime/arena.h"
#include "runtime/ops/elementwise.h"
#include "runtime/upload.h"

namespace masformer {

// A micro-batch on the host; see MicroBatch. The arrays are [tokens].
struct MicroBatchSource {
  const std::int32_t* tokens;
  const std::int32_t* labels;
  const std::int32_t* positions;
  // With a document mask only.
  const std::int32_t* first_keys = nullptr;
  std::vector<std::vector<std::int64_t>> document_starts{};
};

class Stage final : public PipelineStage {
 public:
  // Allocates all memory of the plan. `groups` and `stream` outlive the stage.
  Stage(StageSpec spec, StagePlan plan, const Stream& stream, const ProcessGroups& groups);

  ParameterSet& parameters() { return parameters_; }
  // The stage starts the sums of gradients in the last micro-batch's backward, and waits for values
  // layer by layer.
  ParameterSync& sync() { return sync_; }
  const ParameterSet& parameters() const { return parameters_; }
  const ParameterSync& sync() const { return sync_; }
  const StageSpec& spec() const { return spec_; }
  const StagePlan& plan() const { return plan_; }
  // The memory that is allocated. `messages` grows to the planned amount during the first step,
  // when groups allocate the working memory of their sums.
  MemoryTable memory() const;

  // Sets micro-batch `index` of the next step. Copies everything.
  void set_micro_batch(int index, const MicroBatchSource& source);
  // Starts a step: zeroes the gradients and the loss. `predicted_tokens` is the whole step's, over
  // all replicas.
  void begin_training(std::int64_t predicted_tokens);
  // Starts an evaluation: zeroes the loss.
  void begin_evaluation();
  // [1] fp64: the sum of the step's losses so far, in nats; 0 except on the last stage. All tensor
  // ranks have the same sum. The caller may change it between two steps.
  Tensor loss() const { return loss_; }
  // The same number. Waits for the stream.
  double loss_sum() const { return scalar(stream_, loss_); }

  Tensor input(const Action& action) override;
  Tensor output(const Action& action) override;
  Tensor input_gradient(const Action& action) override;
  Tensor output_gradient(const Action& action) override;
  void run(const Action& action) override;

  // A buffer of the action's micro-batch; empty if the action does not need it.
  Tensor buffer(const Action& action, BufferId id) const;

 private:
  const ChunkSpec& chunk(const Action& action) const {
    return spec_.chunks[static_cast<std::size_t>(action.chunk)];
  }
  Tensor buffer(const Action& action, const std::optional<BufferId>& id) const;
  void set_all_first_keys(int index, const std::vector<std::vector<std::int64_t>>& document_starts);
  // Sets buffers_ to the action's buffers in the arena.
  void place_buffers(const Action& action);
  void run_pass(const ProgramPoint& point, LayerContext& context);

  StageSpec spec_;
  const Stream& stream_;
  const ProcessGroups& groups_;
  StagePlan plan_;
  ParameterSet parameters_;
  ParameterSync sync_;
  Arena activations_, batches_;
  std::vector<Tensor> sent_gradients_;  // [chunk], after the planned activations
  std::vector<Tensor> buffers_;         // by BufferId, of the running action
  std::vector<MicroBatch> micro_batches_;
  std::vector<Upload> uploads_;  // of each micro-batch's ids_shape()
  std::vector<Upload> all_first_keys_;
  bool evaluating_ = false;
  Tensor loss_;  // [1] fp64
};

}  // namespace masformer
