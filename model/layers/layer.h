// What a stage is made of. A layer maps this rank's rows of the residual stream [tokens, hidden] to
// the same rows behind it, and their gradient back. The backward has two passes, for inputs and for
// weights, so that a schedule can run other work between them.
//
// A layer owns no tensors. Its constructor registers its parameters, its buffers and the working
// memory of its ops, and each pass finds them in its LayerContext.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/layers/layer_work.h"
#include "model/layers/token_shards.h"
#include "model/parameters.h"
#include "model/program.h"
#include "model/recompute.h"
#include "parallel/comm/communicator.h"
#include "parallel/context/head_exchange.h"
#include "parallel/context/sequence_sharding.h"
#include "runtime/stream.h"

namespace masformer {

// The part of a step that goes through the pipeline at once, on this rank: T = samples * sequence
// tokens.
struct MicroBatch {
  std::int64_t samples = 0;
  std::int64_t sequence = 0;
  Tensor tokens, labels, positions;  // [T] int32; a label below 0 predicts nothing
  // [samples, sequence] int32: where each token's document starts, as a place in the whole
  // sequence, and where all documents of the whole sequence start, by sample. Empty without a
  // document mask. `all_first_keys` [samples, whole sequence]: the same of all context ranks'
  // tokens; empty unless they share layers by heads.
  Tensor first_keys{}, all_first_keys{};
  std::vector<std::vector<std::int64_t>> document_starts{};
  // The derivative of the step's loss with respect to the loss of one token: 1 / the number of
  // predicted tokens of the step on all replicas.
  float loss_scale = 0;
};

// The operands of one pass of a layer over one micro-batch.
struct LayerContext {
  const Stream& stream;
  Communicator& tensor;
  Communicator& context;
  ParameterSet& parameters;
  const MicroBatch& batch;
  bool evaluation = false;
  // This rank's rows of [T, hidden] (see TokenShards); empty at the ends of the model.
  Tensor input{}, output{};
  Tensor output_gradient{}, input_gradient{};
  const std::vector<Tensor>& buffers;  // by BufferId; unspecified for other chunks
  Tensor loss{};                       // [1] fp64; the head adds the tokens' losses, in nats
};

// Where a layer registers its buffers.
class BufferRegistry {
 public:
  // `dtype`: of activations and their gradients, fp32 or bf16. `all` outlives the registry.
  BufferRegistry(int layer, DType dtype, std::vector<BufferSpec>& all)
      : layer_(layer), dtype_(dtype), all_(&all) {}

  DType dtype() const { return dtype_; }

  // Written by the pass `first_use`, last read by the pass `last_use` of the same layer.
  BufferId add(std::string name, Shape shape, Pass first_use, Pass last_use);
  // The same in fp32, whatever the dtype of activations.
  BufferId add_fp32(std::string name, Shape shape, Pass first_use, Pass last_use);
  // Marks a scratch buffer of the backward that the evaluation's forward needs, too.
  void mark_evaluated(BufferId id) { (*all_)[id].evaluated = true; }
  // Marks a buffer that is not kept from the forward to the backward: Layer::recompute() fills it
  // again.
  void mark_recomputed(BufferId id) { (*all_)[id].recomputed = true; }

 private:
  int layer_;
  DType dtype_;
  std::vector<BufferSpec>* all_;
};

// The micro-batches that a layer is made for; T = samples * sequence. A layer sees this rank's rows
// of each sequence only.
struct MicroBatchShape {
  std::int64_t samples = 1;
  std::int64_t sequence = 1;

  std::int64_t tokens() const { return samples * sequence; }
};

// This rank's place on the context axis.
struct ContextPlace {
  const SequenceSharding& sharding;
  int rank = 0;
  ContextFull full = ContextFull::ring;  // how full layers are shared
};

// What a layer is made from: the model, this rank's place on the tensor axis, and where to
// register.
struct LayerSetup {
  const ModelConfig& config;
  TensorPlace place;
  MicroBatchShape shape;
  ContextPlace context;
  Device device = Device::cpu;
  bool deterministic = false;  // as the stream's
  bool document_mask = false;  // whether micro-batches have documents
  Recompute recompute = Recompute::none;
  std::int64_t ffn_block = 0;  // rows that the MLP computes at a time; 0: all at once
  ParameterRegistry& parameters;
  BufferRegistry buffers;
  // Bytes of device memory that the ops take besides their operands, in training. Ops run one after
  // the other, so this is the maximum over the ops of the stage. Not used on CPUs.
  std::int64_t& workspace;

  std::int64_t tokens() const { return shape.tokens(); }
  TokenShards shards() const { return {shape.tokens(), place}; }
  void need_workspace(std::int64_t bytes) const { workspace = std::max(workspace, bytes); }
};

// How many messages that need so much memory if they are staged (staged_message_memory()) are on
// their way at once at most.
using MessageSizes = std::map<std::int64_t, int>;

// Raises the counts in `most` to those in `other`.
void keep_larger(MessageSizes& most, const MessageSizes& other);

// Floating-point operations. A multiply-add counts as 2; only matrix products and attention count,
// as in published tables.
struct LayerFlops {
  double products = 0;
  double per_pair = 0;  // of attention, for each (query, key) pair of a sample
  Span span{};          // which pairs are visible
};

class Layer {
 public:
  virtual ~Layer() = default;

  // For tables and messages: "attention window:1024", "mlp". Layers of one kind cost the same.
  virtual std::string kind() const = 0;
  // Of this rank's forward on a micro-batch. Each of the two backward passes takes as many.
  virtual LayerFlops forward_flops() const = 0;

  // What a pass does, as this layer runs it. Over all passes but recomputation, matrix products sum
  // to three times forward_flops(), unless the backward computes something again.
  virtual PassWork work(Pass pass) const = 0;

  // The messages to and from context ranks.
  virtual MessageSizes message_sizes() const { return {}; }

  virtual void forward(LayerContext& context) const = 0;
  // Fills the buffers that are marked as recomputed with the bits that the forward gave them.
  // Called before backward_input of the same micro-batch.
  virtual void recompute(LayerContext&) const {}
  // Writes context.input_gradient from context.output_gradient.
  virtual void backward_input(LayerContext& context) const = 0;
  // Adds to the gradients of the weights, unless backward_input has done so. Called after
  // backward_input of the same micro-batch.
  virtual void backward_weight(LayerContext& context) const = 0;
};

}  // namespace masformer
