#include "model/cost/model_costs.h"

#include <algorithm>
#include <map>

#include "runtime/arena.h"

namespace masformer {
namespace {

// The costs of layers [begin, end) of a stage.
class LayerCosts {
 public:
  LayerCosts(const StageSpec& stage, const LayerTimes& times) : stage_(stage), times_(times) {}

  std::int64_t fixed_bytes(StageLayers layers) const {
    std::int64_t bytes = 0;
    for (int layer = layers.begin; layer < layers.end; ++layer) {
      const ParameterRange range = stage_.layer_parameters[static_cast<std::size_t>(layer)];
      const auto begin = stage_.parameters.begin();
      const ParameterMemory memory =
          lay_out_parameters({begin + static_cast<std::ptrdiff_t>(range.begin),
                              begin + static_cast<std::ptrdiff_t>(range.end)},
                             stage_.dtype, Purpose::training)
              .memory;
      bytes += memory.values + memory.gradients + memory.masters + memory.moments;
    }
    return bytes;
  }

  // A buffer between two layers counts as the second one's.
  BlockCost cost(StageLayers layers) const {
    BlockCost cost;
    std::map<int, std::int64_t> scratch;  // by layer
    std::int64_t recomputed = 0;
    for (const BufferSpec& buffer : stage_.buffers) {
      const int layer = std::max(buffer.first_use.layer, buffer.last_use.layer);
      if (layer < layers.begin || layer >= layers.end) continue;
      const std::int64_t bytes = Arena::footprint(buffer.shape, buffer.dtype);
      if (buffer.last_use.pass == Pass::backward_weight) cost.waiting_bytes += bytes;
      if (buffer.recomputed) {
        recomputed += bytes;
      } else if (buffer.first_use.pass == Pass::forward && buffer.last_use.pass != Pass::forward) {
        cost.held_bytes += bytes;
      } else {
        scratch[layer] += bytes;
      }
    }
    for (const auto& [layer, bytes] : scratch) {
      cost.working_bytes = std::max(cost.working_bytes, bytes);
    }
    cost.working_bytes += recomputed;
    for (int layer = layers.begin; layer < layers.end; ++layer) {
      cost.seconds += times_.of(stage_, layer);
    }
    return cost;
  }

 private:
  const StageSpec& stage_;
  const LayerTimes& times_;
};

// Blocks that are described alike cost the same.
struct BlockKind {
  BlockSpec spec;
  std::vector<Recompute> recompute;  // by choice

  bool operator==(const BlockKind&) const = default;
};

BlockKind kind_of(const ModelConfig& config, const std::vector<std::vector<Recompute>>& choices,
                  std::size_t block) {
  BlockKind kind{config.blocks[block], {}};
  for (const auto& choice : choices) {
    kind.recompute.push_back(choice.empty() ? Recompute::none : choice[block]);
  }
  return kind;
}

// A model with one block of each kind. Before them is another one, which is the end of a stage if
// the ends of the model are on different stages: then a shared table is on both, and the others do
// not keep what they send.
struct Probe {
  ModelConfig config;
  Mesh mesh;
  Partition partition;
  Coordinate at;  // but for the stage

  StageSpec stage(int pipe, StagePolicy policy, const std::vector<BlockKind>& kinds,
                  std::size_t choice) const {
    policy.recompute = {kinds.front().recompute[choice]};
    for (const BlockKind& kind : kinds) policy.recompute.push_back(kind.recompute[choice]);
    Coordinate place = at;
    place.pipe = pipe;
    return StageSpec(config, mesh, place, partition, policy);
  }
};

Probe make_probe(const ModelConfig& config, const Mesh& mesh, const Placement& placement,
                 const std::vector<BlockKind>& kinds) {
  const bool apart = placement.place(0).stage != placement.place(placement.parts() - 1).stage;
  Probe probe{config, mesh, {}, {0, mesh.data - 1, mesh.context - 1, mesh.tensor - 1}};
  probe.mesh.pipe = apart ? 2 : 1;
  probe.config.blocks = {kinds.front().spec};
  for (const BlockKind& kind : kinds) probe.config.blocks.push_back(kind.spec);
  const int layers = probe.config.layers();
  probe.partition = apart ? Partition{{0, 1}, {1, layers}} : Partition{{0, layers}};
  return probe;
}

}  // namespace

ModelCosts model_costs(const ModelConfig& config, const Mesh& mesh, const Placement& placement,
                       const StagePolicy& policy,
                       const std::vector<std::vector<Recompute>>& choices,
                       const LayerTimes& times) {
  std::vector<BlockKind> kinds;
  std::vector<std::size_t> kind_of_block;
  for (std::size_t block = 0; block < config.blocks.size(); ++block) {
    const BlockKind kind = kind_of(config, choices, block);
    const auto known = std::ranges::find(kinds, kind);
    kind_of_block.push_back(static_cast<std::size_t>(known - kinds.begin()));
    if (known == kinds.end()) kinds.push_back(kind);
  }
  const Probe probe = make_probe(config, mesh, placement, kinds);
  std::vector<BalanceBlock> of_kind(kinds.size());
  ModelCosts costs;
  for (std::size_t choice = 0; choice < choices.size(); ++choice) {
    for (int pipe = 0; pipe < probe.mesh.pipe; ++pipe) {
      const StageSpec stage = probe.stage(pipe, policy, kinds, choice);
      const LayerCosts of(stage, times);
      const ChunkSpec& chunk = stage.chunks.front();
      const auto end = [&](int layer) {
        const StageLayers layers{layer, layer + 1};
        return BalanceEnd{of.fixed_bytes(layers), of.cost(layers)};
      };
      if (stage.is_first(chunk)) costs.embedding = end(chunk.layers.begin);
      if (!stage.is_last(chunk)) continue;
      costs.head = end(chunk.layers.end - 1);
      // The last blocks of the last stage are one of each kind.
      const std::size_t others = chunk.blocks.size() - kinds.size();
      for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
        const StageLayers layers = chunk.blocks[others + kind];
        of_kind[kind].fixed_bytes = of.fixed_bytes(layers);
        of_kind[kind].choices.push_back(of.cost(layers));
      }
    }
  }
  for (const std::size_t kind : kind_of_block) costs.blocks.push_back(of_kind[kind]);
  return costs;
}

}  // namespace masformer
