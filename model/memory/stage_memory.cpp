#include "model/memory/stage_memory.h"

#include <vector>

#include "parallel/comm/staged/communicator.h"
#include "parallel/pipeline/execution_plan.h"
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/ops/cuda_workspace.h"

namespace masformer {
namespace {

// Host memory of the stage's sums over MPI: see reduce_scatter_memory().
std::int64_t memory_of_sums(const StageSpec& stage, Purpose purpose) {
  const bool by_shares = stage.shards.shared() || stage.dtype == DType::bf16;
  return (purpose == Purpose::training ? reduce_scatter_memory(stage.replicas) : 0) +
         (by_shares ? reduce_scatter_memory(stage.tensor_ranks) : 0);
}

std::int64_t memory_of_tokens(const StageSpec& stage, const StagePlan& plan) {
  return (Arena::footprint(ids_shape(stage), DType::i32) +
          Arena::footprint(all_first_keys_shape(stage), DType::i32)) *
         plan.micro_batches;
}

// Staged messages between context ranks. A message of another size takes other memory.
std::int64_t memory_of_exchanges(const StageSpec& stage) {
  MessageSizes most;
  for (const auto& layer : stage.layers) keep_larger(most, layer->message_sizes());
  std::int64_t bytes = 0;
  for (const auto& [size, count] : most) bytes += size * count;
  return bytes;
}

std::int64_t memory_of_sent_gradients(const StageSpec& stage) {
  std::int64_t bytes = 0;
  for (const ChunkSpec& chunk : stage.chunks) bytes += stage.sent_gradient_bytes(chunk);
  return bytes;
}

}  // namespace

StagePlan plan_stage(const StageSpec& stage, Purpose purpose, const Schedule& training,
                     const Schedule& evaluation) {
  require(training.micro_batches == evaluation.micro_batches,
          "the training schedule has {} micro-batches, but the evaluation schedule {}: they must "
          "be equal",
          training.micro_batches, evaluation.micro_batches);
  require(training.placement == stage.placement && evaluation.placement == stage.placement,
          "the training schedule ({} parts), the evaluation schedule ({} parts) and the stage ({} "
          "parts) must have the same placement",
          training.placement.parts(), evaluation.placement.parts(), stage.placement.parts());
  const bool trains = purpose == Purpose::training;
  const auto index = static_cast<std::size_t>(stage.pipe);
  const auto replay = [&](const std::vector<Action>& actions) {
    return ActivationPlan(stage.buffers, stage.program, training.micro_batches, actions);
  };
  return {purpose, training.micro_batches,
          replay(trains ? training.actions[index] : std::vector<Action>{}),
          replay(evaluation.actions[index]),
          std::max(trains ? max_messages(training, stage.pipe) : 0,
                   max_messages(evaluation, stage.pipe))};
}

Shape ids_shape(const StageSpec& stage) {
  return {stage.document_mask ? 4 : 3,
          Arena::footprint({stage.shape.tokens()}, DType::i32) / size_of(DType::i32)};
}

Shape all_first_keys_shape(const StageSpec& stage) {
  return {stage.all_first_keys ? stage.shape.samples : 0, stage.sharding.sequence()};
}

MemoryTable plan_memory(const StageSpec& stage, const StagePlan& plan) {
  const bool training = plan.purpose == Purpose::training;
  const ParameterMemory parameters =
      lay_out_parameters(stage.parameters, stage.dtype, plan.purpose).memory;
  const std::int64_t workspace = training ? stage.workspace : cuda_workspace::gemm;
  return {.weights = parameters.values,
          .gradients = parameters.gradients,
          .optimizer = parameters.masters + parameters.moments,
          .activations = plan.peak() + memory_of_sent_gradients(stage),
          .batch = memory_of_tokens(stage, plan) + Arena::footprint({1}, DType::f64),
          .messages = stage.on_host ? memory_of_sums(stage, plan.purpose) : 0,
          .workspace = stage.on_host ? 0 : workspace};
}

HostMemoryTable plan_host_memory(const StageSpec& stage, const StagePlan& plan, bool staged) {
  const bool training = plan.purpose == Purpose::training;
  HostMemoryTable table{.batch = memory_of_tokens(stage, plan),
                        .checkpoint = checkpoint_memory(stage.parameters, plan.purpose)};
  if (!staged) return table;
  table.messages =
      memory_of_sums(stage, plan.purpose) + staging_memory(stage.tensor_ranks) +
      plan.messages * staged_message_memory(Arena::footprint(stage.activations(), stage.dtype)) +
      memory_of_exchanges(stage);
  if (training) {
    const int embedding_ranks = stage.shared_table ? 2 : 1;
    for (const int ranks : {stage.ranks, stage.replicas, embedding_ranks}) {
      table.messages += staging_memory(ranks);
    }
  }
  return table;
}

}  // namespace masformer
