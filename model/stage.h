// One pipeline stage: the parts of the model on one rank, their parameters, and the memory that
// they work in. It holds what a StageSpec describes, and computes what a schedule asks for.
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

class Stage final : public PipelineStage {
 public:
  // Takes all the memory that the plan says. `groups` and `stream` outlive the stage.
  Stage(StageSpec spec, StagePlan plan, const Stream& stream, const ProcessGroups& groups);

  ParameterSet& parameters() { return parameters_; }
  // Sums gradients while the last micro-batch goes backward, and waits for values layer by layer.
  ParameterSync& sync() { return sync_; }
  const ParameterSet& parameters() const { return parameters_; }
  const ParameterSync& sync() const { return sync_; }
  const StageSpec& spec() const { return spec_; }
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
  const ChunkSpec& chunk(const Action& action) const {
    return spec_.chunks[static_cast<std::size_t>(action.chunk)];
  }
  Tensor buffer(const Action& action, const std::optional<BufferId>& id) const;
  // Finds the action's buffers in the arena, for its layers.
  void place_buffers(const Action& action);
  void run_pass(const ProgramPoint& point, LayerContext& context);

  StageSpec spec_;
  const Stream& stream_;
  const ProcessGroups& groups_;
  StagePlan plan_;
  ParameterSet parameters_;
  ParameterSync sync_;
  Arena activations_, batches_;
  std::vector<Tensor> sent_gradients_;  // [chunk], behind the planned activations
  std::vector<Tensor> buffers_;         // by BufferId, those of the action that runs
  std::vector<MicroBatch> micro_batches_;
  std::vector<Upload> uploads_;  // of each micro-batch's tokens, labels and positions
  bool evaluating_ = false;
  Tensor loss_;  // [1] fp64
};

}  // namespace masformer
