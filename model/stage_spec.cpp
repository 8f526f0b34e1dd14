#include <algorithm>

#include "model/layers/attention_layer.h"
#include "model/layers/embedding_layer.h"
#include "model/layers/head_layer.h"
#include "model/layers/mlp_layer.h"
#include "model/memory/workspace.h"
#include "model/stage.h"
#include "parallel/comm/staged/communicator.h"
#include "runtime/error.h"
#include "runtime/ops/cuda_workspace.h"

namespace masformer {
namespace {

// The head's matrix: its own, the token table of the same stage, or a copy of the first stage's.
ParameterId declare_head_weight(LayerSetup declare, std::optional<ParameterId>& table) {
  const ModelConfig& config = declare.config;
  if (!config.tied) {
    return declare.parameters.split_rows({"lm_head.weight"}, {config.vocab, config.hidden},
                                         Initial::normal,
                                         padded_vocab(config.vocab, declare.place.ranks));
  }
  if (!table) {
    table = declare_token_table(declare);
    declare.parameters.mark_copy(*table);
  }
  return *table;
}

// What is computed again of a block whose two layers are about to be added.
void recompute_block(Recompute recompute, StagePasses& passes) {
  const int attention = passes.layers;
  const int mlp = attention + 1;
  if (recompute == Recompute::block) {
    passes.recomputed.push_back({attention, mlp + 1});
  } else if (recompute == Recompute::selective) {
    passes.recomputed.push_back({attention, attention + 1});
    passes.recomputed.push_back({mlp, mlp + 1});
  }
}

}  // namespace

StageSpec::StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
                     LayerRange range, const StagePolicy& policy)
    : shape(policy.shape),
      shards(shape.tokens(), {at.tensor, mesh.tensor, policy.sequence_parallel}),
      hidden(config.hidden),
      dtype(policy.dtype),
      workspace(policy.device == Device::cpu
                    ? 0
                    : workspace_bytes(config, {at.tensor, mesh.tensor}, policy.shape, policy.dtype,
                                      policy.deterministic)),
      on_host(policy.device == Device::cpu),
      deterministic(policy.deterministic),
      first(at.pipe == 0),
      last(at.pipe == mesh.pipe - 1),
      pipe(at.pipe),
      ranks(mesh.size()),
      tensor_ranks(mesh.tensor),
      data_ranks(mesh.data) {
  const TensorPlace place{at.tensor, mesh.tensor, policy.sequence_parallel};
  ParameterRegistry declarer(mesh, at);
  // For the next layer.
  const auto declare = [&](Recompute recompute = Recompute::none) {
    return LayerSetup{.config = config,
                      .place = place,
                      .shape = shape,
                      .device = policy.device,
                      .recompute = recompute,
                      .parameters = declarer,
                      .buffers = {passes.layers, dtype, buffers}};
  };
  std::optional<ParameterId> table;
  if (first) {
    auto embedding = std::make_unique<EmbeddingLayer>(declare());
    table = embedding->token_table();
    add(std::move(embedding), declarer);
  }
  for (int index = range.begin; index < range.end; ++index) {
    const Recompute recompute = policy.recompute_of(index);
    recompute_block(recompute, passes);
    add(std::make_unique<AttentionLayer>(declare(recompute), index), declarer);
    add(std::make_unique<MlpLayer>(declare(recompute), index), declarer);
  }
  if (last) {
    const ParameterId weight = declare_head_weight(declare(), table);
    add(std::make_unique<HeadLayer>(declare(), weight), declarer);
  }
  if (config.tied && mesh.pipe > 1) shared_table = table;
  parameters = declarer.declarations();
  declare_boundaries();
}

void StageSpec::add(std::unique_ptr<Layer> layer, const ParameterRegistry& declarer) {
  const ParameterId begin = layer_parameters.empty() ? 0 : layer_parameters.back().end;
  layer_parameters.push_back({begin, declarer.declarations().size()});
  layers.push_back(std::move(layer));
  ++passes.layers;
}

void StageSpec::declare_boundaries() {
  using enum Pass;
  const auto add = [&](std::string name, ProgramPoint first_use, ProgramPoint end,
                       int last_forward_layer) {
    buffers.push_back({std::move(name), activations(), dtype, first_use, end, last_forward_layer});
    return buffers.size() - 1;
  };
  boundary.resize(layers.size() + 1);
  gradient.resize(layers.size() + 1);
  const int end = passes.layers;
  for (int i = 0; i <= end; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if ((i == 0 && first) || (i == end && last)) continue;
    // Written by layer i - 1 (or received before layer 0), read by layer i to its last pass. What
    // is sent on at the end must stay until the next stage has it: until its gradient is back.
    const int writer = std::max(i - 1, 0);
    const int reader = std::min(i, end - 1);
    boundary[place] = add("activations", {writer, forward},
                          {reader, i == end ? backward_input : backward_weight}, reader);
    buffers[*boundary[place]].recomputed = passes.recomputed_together(writer, reader);
    if (i == 0) continue;  // its gradient is sent: see sent_gradient_bytes()
    gradient[place] = add("gradient", {reader, backward_input}, {i - 1, backward_weight}, reader);
  }
}

std::int64_t StageSpec::sent_gradient_bytes() const {
  return first ? 0 : Arena::footprint(activations(), dtype);
}

StagePlan plan_stage(const StageSpec& stage, Purpose purpose, const Schedule& training,
                     const Schedule& evaluation) {
  require(training.micro_batches == evaluation.micro_batches,
          "schedules of {} and of {} micro-batches for one stage", training.micro_batches,
          evaluation.micro_batches);
  const bool trains = purpose == Purpose::training;
  const auto index = static_cast<std::size_t>(stage.pipe);
  const auto replay = [&](const std::vector<Action>& actions) {
    return ActivationPlan(stage.buffers, stage.passes, training.micro_batches, actions);
  };
  return {purpose, training.micro_batches,
          replay(trains ? training.actions[index] : std::vector<Action>{}),
          replay(evaluation.actions[index]),
          std::max(trains ? max_messages(training, stage.pipe) : 0,
                   max_messages(evaluation, stage.pipe))};
}

Shape ids_shape(const MicroBatchShape& shape) {
  return {3, Arena::footprint({shape.tokens()}, DType::i32) / size_of(DType::i32)};
}

namespace {

// What the sums of a stage take of hosts where they go by MPI: see Communicator.
std::int64_t memory_of_sums(const StageSpec& stage, Purpose purpose) {
  const bool by_shares = stage.shards.shared() || stage.dtype == DType::bf16;
  return (purpose == Purpose::training ? reduce_scatter_memory(stage.data_ranks) : 0) +
         (by_shares ? reduce_scatter_memory(stage.tensor_ranks) : 0);
}

std::int64_t memory_of_tokens(const StageSpec& stage, const StagePlan& plan) {
  return Arena::footprint(ids_shape(stage.shape), DType::i32) * plan.micro_batches;
}

}  // namespace

MemoryTable plan_memory(const StageSpec& stage, const StagePlan& plan) {
  const bool training = plan.purpose == Purpose::training;
  const ParameterMemory parameters = parameter_memory(stage.parameters, stage.dtype, plan.purpose);
  return {.weights = parameters.values,
          .gradients = parameters.gradients,
          .optimizer = parameters.masters + parameters.moments,
          .activations = plan.peak() + stage.sent_gradient_bytes(),
          .batch = memory_of_tokens(stage, plan) + Arena::footprint({1}, DType::f64),
          .messages = stage.on_host ? memory_of_sums(stage, plan.purpose) : 0,
          .workspace = stage.on_host ? 0
                       : training    ? stage.workspace
                                     : cuda_workspace::gemm};
}

HostMemoryTable plan_host_memory(const StageSpec& stage, const StagePlan& plan, bool staged) {
  const bool training = plan.purpose == Purpose::training;
  HostMemoryTable table{.batch = memory_of_tokens(stage, plan),
                        .checkpoint = checkpoint_memory(stage.parameters, plan.purpose)};
  if (!staged) return table;
  table.messages = memory_of_sums(stage, plan.purpose) + staging_memory(stage.tensor_ranks) +
                   plan.messages * Arena::footprint(stage.activations(), stage.dtype);
  if (training) {
    const int ends = stage.shared_table ? 2 : 1;
    for (const int ranks : {stage.ranks, stage.data_ranks, ends}) {
      table.messages += staging_memory(ranks);
    }
  }
  return table;
}

}  // namespace masformer
