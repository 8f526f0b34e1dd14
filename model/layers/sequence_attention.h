// The attention of a layer over the whole sequence, given this context rank's rows: what an
// attention layer does between its products. How the context ranks share it is up to the kind.
//
// Shapes: B samples, S this rank's rows of a sequence; W columns of queries and V of keys, as many
// of values: those of the heads of this tensor rank.
#pragma once

#include <cstdint>
#include <memory>

#include "model/layers/layer.h"
#include "runtime/span.h"

namespace masformer {

struct AttentionGeometry {
  Span span;
  float scale = 1;
  std::int64_t heads = 1, key_heads = 1, head_dim = 1;  // of this tensor rank

  std::int64_t width() const { return heads * head_dim; }          // W
  std::int64_t key_width() const { return key_heads * head_dim; }  // V
  std::int64_t qkv_width() const { return width() + 2 * key_width(); }
};

class SequenceAttention {
 public:
  virtual ~SequenceAttention() = default;

  // The last pass that reads the qkv of this micro-batch.
  virtual Pass last_reader_of_qkv() const { return Pass::backward_input; }
  virtual MessageSizes message_sizes() const = 0;

  // qkv [B, S, W + 2 V] -> out [B, S, W], lse [B, heads, S]. Only backward() may read lse: its
  // elements may be those of other rows and heads.
  virtual void forward(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const = 0;
  // The same bits again, for layers that recompute them. With Recompute::selective, qkv may have
  // been released if last_reader_of_qkv() is the forward.
  virtual void recompute(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const {
    forward(context, qkv, out, lse);
  }

  struct Backward {
    Tensor qkv, out, lse;  // from the forward
    Tensor dout;           // [B, S, W]
    Tensor delta;          // like lse; scratch
    Tensor dqkv;           // [B, S, W + 2 V], written
    Tensor dq_sum;         // [B, S, W] fp32, scratch; empty if activations are fp32
  };
  virtual void backward(LayerContext& context, const Backward& args) const = 0;
};

// By heads (HeadAttention) if the setup says so for this span, else by tokens (ContextAttention).
// Registers the buffers.
std::unique_ptr<SequenceAttention> make_sequence_attention(LayerSetup& setup,
                                                           const AttentionGeometry& geometry);

}  // namespace masformer
