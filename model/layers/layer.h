// What a stage is made of. A layer maps this rank's rows of the residual stream [tokens, hidden] to
// the same of the next, forward and backward; the backward comes in two passes, for inputs and for
// weights, so that a schedule may put work between them.
//
// A layer is a value that describes: when it is made it registers its parameters, its buffers and
// its ops' working memory, and it finds them in the LayerContext of each pass.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/layers/token_shards.h"
#include "model/parameters.h"
#include "model/program.h"
#include "model/recompute.h"
#include "parallel/comm/communicator.h"
#include "runtime/stream.h"

namespace masformer {

// The part of a step that goes through the pipeline at once: T = samples * sequence tokens.
struct MicroBatch {
  std::int64_t samples = 0;
  std::int64_t sequence = 0;
  Tensor tokens, labels, positions;  // [T] int32; a label below 0 predicts nothing
  // The derivative of the step's loss by a token's: one over the predicted tokens of the whole
  // step, over all data ranks.
  float loss_scale = 0;
};

// What a layer works with in one pass over one micro-batch.
struct LayerContext {
  const Stream& stream;
  Communicator& tensor;
  ParameterSet& parameters;
  const MicroBatch& batch;
  bool evaluation = false;
  // This rank's rows of [T, hidden] (see TokenShards); none at the model's ends.
  Tensor input{}, output{};
  Tensor output_gradient{}, input_gradient{};
  const std::vector<Tensor>& buffers;  // by BufferId; those of other chunks are unspecified
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
  // The same in fp32, whatever the activations are.
  BufferId add_fp32(std::string name, Shape shape, Pass first_use, Pass last_use);
  // Marks a scratch buffer that evaluation's forward needs too.
  void mark_evaluated(BufferId id) { (*all_)[id].evaluated = true; }
  // The buffer is not kept from the forward to the backward: Layer::recompute() fills it again.
  void mark_recomputed(BufferId id) { (*all_)[id].recomputed = true; }

 private:
  int layer_;
  DType dtype_;
  std::vector<BufferSpec>* all_;
};

// T = samples * sequence of the micro-batches that a layer is made for.
struct MicroBatchShape {
  std::int64_t samples = 1;
  std::int64_t sequence = 1;

  std::int64_t tokens() const { return samples * sequence; }
};

// What a layer is made from: the model, this rank's place in it, and where to register.
struct LayerSetup {
  const ModelConfig& config;
  TensorPlace place;
  MicroBatchShape shape;
  Device device = Device::cpu;
  bool deterministic = false;  // as the stream's
  Recompute recompute = Recompute::none;
  ParameterRegistry& parameters;
  BufferRegistry buffers;
  // Bytes that ops take on a device besides their operands, in training: the most that one of the
  // stage's ops takes, since they run one after the other. Not used on CPUs.
  std::int64_t& workspace;

  std::int64_t tokens() const { return shape.tokens(); }
  TokenShards shards() const { return {shape.tokens(), place}; }
  void need_workspace(std::int64_t bytes) const { workspace = std::max(workspace, bytes); }
};

// How the arithmetic of attention is counted.
enum class PairCount {
  visible,  // query-key pairs that the spans let through
  dense,    // all S^2 pairs of every layer, as some published tables count
};

class Layer {
 public:
  virtual ~Layer() = default;

  // "attention window:1024", "mlp": for tables and messages. Layers of one kind cost the same.
  virtual std::string kind() const = 0;
  // Floating-point operations of this rank's forward on a micro-batch: a multiply-add counts as 2,
  // and matrix products and attention count alone, as in published tables. The backward for inputs
  // does as many, and so does the one for weights.
  virtual double forward_flops(PairCount count) const = 0;

  virtual void forward(LayerContext& context) const = 0;
  // Fills the buffers that were registered as recomputed, with the same bits; before backward_input
  // of the same micro-batch.
  virtual void recompute(LayerContext&) const {}
  // Writes context.input_gradient from context.output_gradient.
  virtual void backward_input(LayerContext& context) const = 0;
  // Adds to the gradients of the weights; after backward_input of the same micro-batch.
  virtual void backward_weight(LayerContext& context) const = 0;
};

}  // namespace masformer
