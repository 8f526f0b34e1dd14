// What a pipeline stage holds and what it takes, for any rank of any mesh: its layers, parameters,
// buffers and program. Pure: nothing is allocated, and no other rank is asked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/layers/layer.h"
#include "parallel/mesh.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/placement.h"

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

// One part of the model on a stage.
struct ChunkSpec {
  int part = 0;
  StageLayers layers;
  // Both are indexed by place: place i is before the chunk's layer i, and the last place after all.
  // boundary[i] is the residual stream there, gradient[i] its gradient. None at the model's ends;
  // no gradient at place 0, which leaves for the previous part: see sent_gradient_bytes().
  std::vector<std::optional<BufferId>> boundary{}, gradient{};
  BufferRange buffers{};  // its layers', and those at its boundaries
};

struct StageSpec {
  // The parts that `placement` puts on the pipeline stage of the rank at `at`; `partition` has a
  // range of blocks for each part. The first part embeds, the last has the head.
  StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
            const Partition& partition, const StagePolicy& policy, Placement placement);
  // One part per stage.
  StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
            const Partition& partition, const StagePolicy& policy)
      : StageSpec(config, mesh, at, partition, policy, Placement::round_robin(mesh.pipe)) {}

  Placement placement;
  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<ChunkSpec> chunks;
  StageProgram program;
  std::vector<ParameterSpec> parameters;
  std::vector<ParameterRange> layer_parameters;  // which of them each layer registered
  std::vector<BufferSpec> buffers;
  MicroBatchShape shape;
  TokenShards shards;  // of the residual stream over the tensor axis
  std::int64_t hidden;
  DType dtype;                 // of activations, and of the weights that layers compute with
  std::int64_t workspace = 0;  // bytes that its ops work in when it trains: 0 on the CPU
  bool on_host, deterministic;
  int pipe;   // its index in the pipeline
  int ranks;  // of all stages
  int tensor_ranks, data_ranks;
  // The token table, where first and last part share it and are on two stages.
  std::optional<ParameterId> shared_table;

  // This rank's rows of the residual stream.
  Shape activations() const { return {shards.own().count, hidden}; }
  bool is_first(const ChunkSpec& chunk) const { return chunk.part == 0; }
  bool is_last(const ChunkSpec& chunk) const { return chunk.part == placement.parts() - 1; }
  // A chunk's gradient on its way to the previous part in bytes: one for all micro-batches, apart
  // from the plan, since its sending outlasts its micro-batch. 0 for the first part.
  std::int64_t sent_gradient_bytes(const ChunkSpec& chunk) const;

 private:
  void add_chunk(const ModelConfig& config, const Mesh& mesh, LayerRange blocks, int part,
                 const StagePolicy& policy, ParameterRegistry& registry,
                 std::optional<ParameterId>& table);
  // `registry` has the parameters of the layers so far, this one included.
  void add(std::unique_ptr<Layer> layer, const ParameterRegistry& registry);
  void add_boundaries(ChunkSpec& chunk);
  BufferId add_boundary(const char* name, ProgramPoint first_use, ProgramPoint last_use,
                        int last_forward_layer);
};

}  // namespace masformer
