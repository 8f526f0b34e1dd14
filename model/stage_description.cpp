#include <algorithm>

#include "model/attention_layer.h"
#include "model/embedding_layer.h"
#include "model/head_layer.h"
#include "model/mlp_layer.h"
#include "model/stage.h"

namespace masformer {

StageDescription::StageDescription(const ModelConfig& config, const Mesh& mesh,
                                   const Coordinate& at, LayerRange range, MicroBatchShape shape_,
                                   bool sequence_parallel)
    : shape(shape_),
      shards(shape.tokens(), {at.tensor, mesh.tensor, sequence_parallel}),
      hidden(config.hidden),
      first(at.pipe == 0),
      last(at.pipe == mesh.pipe - 1) {
  const TensorPlace place{at.tensor, mesh.tensor, sequence_parallel};
  ParameterDeclarer declarer(mesh, at);
  const auto next = [this] { return BufferDeclarer(depth(), buffers); };
  std::int64_t declared = 0;
  const auto add = [&](std::unique_ptr<Layer> layer) {
    layers.push_back(std::move(layer));
    const auto all = std::ssize(declarer.declarations());
    layer_parameters.push_back({declared, all - declared});
    declared = all;
  };
  std::optional<ParameterId> table;
  if (first) {
    auto buffer = next();
    auto embedding = std::make_unique<EmbeddingLayer>(config, place, shape, declarer, buffer);
    table = embedding->token_table();
    add(std::move(embedding));
  }
  for (int index = range.begin; index < range.end; ++index) {
    auto buffer = next();
    add(std::make_unique<AttentionLayer>(config, index, place, shape, declarer, buffer));
    buffer = next();
    add(std::make_unique<MlpLayer>(config, index, place, shape, declarer, buffer));
  }
  if (last) {
    ParameterId weight;
    if (!config.tied) {
      weight = declarer.split_rows({"lm_head.weight"}, {config.vocab, config.hidden},
                                   Initial::normal, padded_vocab(config.vocab, mesh.tensor));
    } else if (table) {
      weight = *table;
    } else {
      weight = declare_token_table(config, mesh.tensor, declarer);
      declarer.mark_copy(weight);
      table = weight;
    }
    auto buffer = next();
    add(std::make_unique<HeadLayer>(config, place, shape, weight, declarer, buffer));
  }
  if (config.tied && mesh.pipe > 1) shared_table = table;
  parameters = declarer.declarations();
  declare_boundaries();
}

void StageDescription::declare_boundaries() {
  using enum Pass;
  const auto add = [&](std::string name, Moment born, Moment end, int last_forward_layer) {
    buffers.push_back(
        {std::move(name), activations(), DType::f32, born, end, last_forward_layer, false});
    return buffers.size() - 1;
  };
  boundary.resize(layers.size() + 1);
  gradient.resize(layers.size() + 1);
  const int end = depth();
  for (int i = 0; i <= end; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if ((i == 0 && first) || (i == end && last)) continue;
    // Written by layer i - 1 (or received before layer 0), read by layer i to its last pass. What
    // is sent on at the end must stay until the next stage has it: until its gradient is back.
    const int writer = std::max(i - 1, 0);
    const int reader = std::min(i, end - 1);
    boundary[place] = add("activations", {writer, forward},
                          {reader, i == end ? backward_input : backward_weight}, reader);
    if (i == 0) continue;  // its gradient is sent: see sent_gradient_bytes()
    gradient[place] = add("gradient", {reader, backward_input}, {i - 1, backward_weight}, reader);
  }
}

std::int64_t StageDescription::sent_gradient_bytes() const {
  return first ? 0 : Arena::footprint(activations(), DType::f32);
}

StagePlan plan_stage(const StageDescription& stage, Purpose purpose, int micro_batches,
                     const std::vector<Action>& training, const std::vector<Action>& evaluation) {
  const auto replay = [&](const std::vector<Action>& actions) {
    return ActivationPlan(stage.buffers, stage.depth(), micro_batches, actions);
  };
  return {purpose, micro_batches,
          replay(purpose == Purpose::training ? training : std::vector<Action>{}),
          replay(evaluation)};
}

MemoryTable plan_memory(const StageDescription& stage, const StagePlan& plan) {
  const std::int64_t weights = footprint(stage.parameters);
  const bool training = plan.purpose == Purpose::training;
  const std::int64_t ids = Arena::footprint({stage.shape.tokens()}, DType::i32);
  return {.weights = weights,
          .gradients = training ? weights : 0,
          .optimizer = training ? 2 * owned_footprint(stage.parameters) : 0,
          .activations = plan.peak() + stage.sent_gradient_bytes(),
          .batch = 3 * ids * plan.micro_batches};
}

}  // namespace masformer
