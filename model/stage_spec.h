// The specification of a pipeline stage, for any rank of any mesh: its layers, parameters, buffers
// and program. It is computed without allocating tensors or asking other ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/layers/layer.h"
#include "parallel/context/head_exchange.h"
#include "parallel/context/sequence_sharding.h"
#include "parallel/mesh.h"
#include "parallel/pipeline/partition.h"
#include "parallel/pipeline/placement.h"

namespace masformer {

// How a stage computes. Only `dtype` changes results by more than rounding.
struct StagePolicy {
  MicroBatchShape shape;  // of whole sequences
  // How the context ranks share a sequence; none: in contiguous parts.
  std::optional<SequenceSharding> sharding{};
  ContextFull context_full = ContextFull::ring;  // how they share full layers
  bool sequence_parallel = true;                 // see TokenShards
  std::vector<Recompute> recompute{};            // by block of the model; empty: none
  std::int64_t ffn_block = 0;                    // rows that MLPs compute at a time; 0: all at once
  DType dtype = DType::f32;  // or bf16: of weights, activations and their gradients
  Device device = Device::cpu;
  bool deterministic = false;  // of the stream
  // Whether batches come with documents, which attention does not cross.
  bool document_mask = false;

  Recompute recompute_of(int block) const {
    return recompute.empty() ? Recompute::none : recompute[static_cast<std::size_t>(block)];
  }
};

// One part of the model on a stage.
struct ChunkSpec {
  int part = 0;
  StageLayers layers;
  std::vector<StageLayers> blocks{};  // the layers of each block
  // boundary[i] is the residual stream before the chunk's layer i, boundary.back() the one after
  // its last layer; gradient[i] is the gradient of boundary[i]. They are empty at the ends of the
  // model. gradient[0] is empty, too: that gradient goes to the previous part (see
  // sent_gradient_bytes()).
  std::vector<std::optional<BufferId>> boundary{}, gradient{};
  BufferRange buffers{};  // of its layers and boundaries
};

struct StageSpec {
  // The parts that `placement` puts on the pipeline stage of the rank at `at`. `partition` has a
  // range of blocks for each part. The first part has the embedding, the last part the head.
  StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
            const Partition& partition, const StagePolicy& policy, Placement placement);
  // One part per stage.
  StageSpec(const ModelConfig& config, const Mesh& mesh, const Coordinate& at,
            const Partition& partition, const StagePolicy& policy)
      : StageSpec(config, mesh, at, partition, policy, Placement::round_robin(mesh.pipe)) {}

  Placement placement;
  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<Recompute> recompute;  // [layer]
  std::vector<ChunkSpec> chunks;
  StageProgram program;
  std::vector<ParameterSpec> parameters;
  std::vector<ParameterRange> layer_parameters;  // [layer]: those that it registered
  std::vector<BufferSpec> buffers;
  MicroBatchShape shape;  // of this rank's rows
  SequenceSharding sharding;
  TokenShards shards;  // of the residual stream over the tensor axis
  std::int64_t hidden;
  DType dtype;                 // of activations, and of the weights that layers compute with
  std::int64_t workspace = 0;  // bytes of device memory for its ops in training; 0 on CPUs
  bool on_host, deterministic, document_mask;
  bool all_first_keys;  // see MicroBatch
  int pipe;             // index of the stage
  int ranks;            // of the whole mesh
  int tensor_ranks, replicas;
  // The token table, if first and last part share it and are on different stages.
  std::optional<ParameterId> shared_table;

  // This rank's rows of the residual stream.
  Shape activations() const { return {shards.own().count, hidden}; }
  bool is_first(const ChunkSpec& chunk) const { return chunk.part == 0; }
  bool is_last(const ChunkSpec& chunk) const { return chunk.part == placement.parts() - 1; }
  // Bytes for the gradient that a chunk sends to the previous part; 0 for the first part. All
  // micro-batches share this buffer. It is not part of the activation plan, because the send may
  // take longer than the action that wrote it.
  std::int64_t sent_gradient_bytes(const ChunkSpec& chunk) const;

 private:
  void add_chunk(const ModelConfig& config, const Mesh& mesh, LayerRange blocks, int part,
                 const StagePolicy& policy, ParameterRegistry& registry,
                 std::optional<ParameterId>& table);
  // `registry` has the parameters of all layers so far, including this one.
  void add(std::unique_ptr<Layer> layer, Recompute recomputed, const ParameterRegistry& registry);
  void add_boundaries(ChunkSpec& chunk);
  BufferId add_boundary(const char* name, ProgramPoint first_use, ProgramPoint last_use,
                        int last_forward_layer);
};

}  // namespace masformer
