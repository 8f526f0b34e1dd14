#include "model/stage_spec.h"

#include <algorithm>
#include <utility>

#include "model/layers/block_layers.h"
#include "model/layers/embedding_layer.h"
#include "model/layers/head_layer.h"
#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/ops/cuda_workspace.h"

namespace masformer {
namespace {

// The head's matrix: a separate one, the token table of this stage, or a copy of another stage's.
ParameterId add_head_weight(LayerSetup setup, std::optional<ParameterId>& table) {
  const ModelConfig& config = setup.config;
  if (!config.tied) {
    return setup.parameters.split_rows({"lm_head.weight"}, {config.vocab, config.hidden},
                                       Initial::normal,
                                       padded_vocab(config.vocab, setup.place.ranks));
  }
  if (!table) {
    table = add_token_table(setup);
    setup.parameters.mark_copy(*table);
  }
  return *table;
}

// Adds which of a block's layers [begin, end) are recomputed together.
void add_recomputation(Recompute recompute, int begin, int end, StageProgram& program) {
  if (recompute == Recompute::block) program.recomputed.push_back({begin, end});
  if (recompute != Recompute::selective) return;
  for (int layer = begin; layer < end; ++layer) program.recomputed.push_back({layer, layer + 1});
}

}  // namespace

StageSpec::StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
                     const Partition& partition, const StagePolicy& policy, Placement placed)
    : placement(std::move(placed)),
      shape{policy.shape.samples, policy.shape.sequence / mesh.context},
      sharding(policy.sharding ? *policy.sharding
                               : SequenceSharding::contiguous(policy.shape.sequence, mesh.context)),
      shards(shape.tokens(), {at.tensor, mesh.tensor, policy.sequence_parallel}),
      hidden(config.hidden),
      dtype(policy.dtype),
      workspace(policy.device == Device::cpu ? 0 : cuda_workspace::gemm),
      on_host(policy.device == Device::cpu),
      deterministic(policy.deterministic),
      document_mask(policy.document_mask),
      all_first_keys(document_mask && mesh.context > 1 &&
                     policy.context_full == ContextFull::heads),
      pipe(at.pipe),
      ranks(mesh.size()),
      tensor_ranks(mesh.tensor),
      replicas(mesh.replicas()) {
  require(placement.stages() == mesh.pipe && std::ssize(partition) == placement.parts(),
          "the partition has {} parts and the mesh {} stages, but the placement has {} parts on {} "
          "stages: they must be equal",
          partition.size(), mesh.pipe, placement.parts(), placement.stages());
  require(sharding.sequence() == policy.shape.sequence && sharding.ranks() == mesh.context,
          "the sharding is of {} tokens over {} ranks, but the micro-batches have {} tokens over "
          "{} ranks: "
          "they must be equal",
          sharding.sequence(), sharding.ranks(), policy.shape.sequence, mesh.context);
  ParameterRegistry registry(mesh, at);
  std::optional<ParameterId> table;
  for (int chunk = 0; chunk < placement.chunks(); ++chunk) {
    const int part = placement.part(pipe, chunk);
    const LayerRange blocks = partition[static_cast<std::size_t>(part)];
    add_chunk(config, mesh, blocks, part, policy, registry, table);
  }
  const bool shared = placement.place(0).stage != placement.place(placement.parts() - 1).stage;
  if (config.tied && shared) shared_table = table;
  parameters = registry.specs();
  if (on_host) workspace = 0;
}

void StageSpec::add_chunk(const ModelConfig& config, const Mesh& mesh, LayerRange blocks, int part,
                          const StagePolicy& policy, ParameterRegistry& registry,
                          std::optional<ParameterId>& table) {
  const int begin = program.layers();
  ChunkSpec chunk{.part = part, .layers = {begin, begin}};
  const BufferId first_buffer = buffers.size();
  program.chunks.push_back(chunk.layers);
  const auto setup_for = [&](Recompute of_block) {
    return LayerSetup{.config = config,
                      .place = {registry.at().tensor, mesh.tensor, policy.sequence_parallel},
                      .shape = shape,
                      .context = {sharding, registry.at().context, policy.context_full},
                      .device = policy.device,
                      .deterministic = policy.deterministic,
                      .document_mask = document_mask,
                      .recompute = of_block,
                      .ffn_block = policy.ffn_block,
                      .parameters = registry,
                      .buffers = {program.layers(), dtype, buffers},
                      .workspace = workspace};
  };
  Recompute policy_of_block = Recompute::none;
  const auto add_layer = [&](std::unique_ptr<Layer> layer) {
    add(std::move(layer), policy_of_block, registry);
  };
  if (is_first(chunk)) {
    auto embedding = std::make_unique<EmbeddingLayer>(setup_for(Recompute::none));
    table = embedding->token_table();
    add_layer(std::move(embedding));
  }
  for (int index = blocks.begin; index < blocks.end; ++index) {
    policy_of_block = policy.recompute_of(index);
    const int first = program.layers();
    make_block_layers(
        config.blocks[static_cast<std::size_t>(index)], index,
        [&] { return setup_for(policy_of_block); }, add_layer);
    add_recomputation(policy_of_block, first, program.layers(), program);
    chunk.blocks.push_back({first, program.layers()});
  }
  policy_of_block = Recompute::none;
  if (is_last(chunk)) {
    const ParameterId weight = add_head_weight(setup_for(Recompute::none), table);
    add_layer(std::make_unique<HeadLayer>(setup_for(Recompute::none), weight));
  }
  chunk.layers.end = program.layers();
  chunks.push_back(std::move(chunk));
  add_boundaries(chunks.back());
  chunks.back().buffers = {first_buffer, buffers.size()};
}

void StageSpec::add(std::unique_ptr<Layer> layer, Recompute recomputed,
                    const ParameterRegistry& registry) {
  const ParameterId begin = layer_parameters.empty() ? 0 : layer_parameters.back().end;
  layer_parameters.push_back({begin, registry.specs().size()});
  layers.push_back(std::move(layer));
  recompute.push_back(recomputed);
  ++program.chunks.back().end;
}

void StageSpec::add_boundaries(ChunkSpec& chunk) {
  using enum Pass;
  const auto [begin, end] = chunk.layers;
  const int count = end - begin;
  const int index = static_cast<int>(chunks.size()) - 1;
  chunk.boundary.resize(static_cast<std::size_t>(count) + 1);
  chunk.gradient.resize(static_cast<std::size_t>(count) + 1);
  // If the previous part is on this stage, too, its result is copied to this chunk's buffer when
  // its last layer is done, so the buffer must exist by then.
  const auto on_this_stage = [&](int part) -> const ChunkSpec* {
    const auto found = std::ranges::find(chunks, part, &ChunkSpec::part);
    return found == chunks.end() ? nullptr : &*found;
  };
  for (int i = 0; i <= count; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if ((i == 0 && is_first(chunk)) || (i == count && is_last(chunk))) continue;
    // The layer before it writes the buffer (or it is received before the first layer), and the
    // layer after it reads it until its last pass. The chunk's output is kept until its gradient
    // arrives.
    int writer = begin + std::max(i - 1, 0);
    const int reader = begin + std::min(i, count - 1);
    const ChunkSpec* const giver = i == 0 ? on_this_stage(chunk.part - 1) : nullptr;
    if (giver != nullptr) writer = giver->layers.end - 1;
    chunk.boundary[place] =
        add_boundary("activations", {writer, forward},
                     {reader, i == count ? backward_input : backward_weight}, reader);
    buffers[*chunk.boundary[place]].recomputed = program.recomputed_together(writer, reader);
    if (i == 0) continue;
    ProgramPoint written{reader, backward_input};
    // The next part's gradient arrives before the action starts, so also before its recomputation.
    if (i == count) written = program.points(ActionKind::backward_input, index).front();
    chunk.gradient[place] =
        add_boundary("gradient", written, {begin + i - 1, backward_weight}, reader);
  }
  // In the backward, this chunk's gradient is copied to the previous part's buffer, if that is on
  // this stage.
  for (ChunkSpec& before : chunks) {
    if (before.part + 1 != chunk.part) continue;
    buffers[*before.gradient.back()].first_use = {begin, backward_input};
  }
}

BufferId StageSpec::add_boundary(const char* name, ProgramPoint first_use, ProgramPoint last_use,
                                 int last_forward_layer) {
  buffers.push_back({name, activations(), dtype, first_use, last_use, last_forward_layer});
  return buffers.size() - 1;
}

std::int64_t StageSpec::sent_gradient_bytes(const ChunkSpec& chunk) const {
  return is_first(chunk) ? 0 : Arena::footprint(activations(), dtype);
}

}  // namespace masformer
