// The attention of one layer, shared by context ranks, without the rest of the layer.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "model/layers/context_attention.h"
#include "model/layers/head_attention.h"
#include "parallel/comm/process_groups.h"
#include "runtime/arena.h"
#include "tests/support/tensors.h"

namespace masformer::test {

// By tokens, with the rows that the mask shows or with all, or by heads.
enum class Sharing { visible_rows, all_rows, by_heads };

// A layer's attention, and how the sequence is shared and masked.
struct AttentionCase {
  SequenceSharding sharding;
  AttentionGeometry geometry;
  std::vector<std::int64_t> starts{};  // of documents; empty: no document mask
  std::int64_t samples = 1;            // all with the same documents

  // Where the document of a position starts.
  std::int64_t first_key(std::int64_t position) const {
    return starts.empty() ? 0 : *std::prev(std::ranges::upper_bound(starts, position));
  }
};

// One rank's part, with its buffers beside each other. Shapes as in sequence_attention.h.
class SharedAttention {
 public:
  // Whoever uses it fills qkv and dout.
  SharedAttention(const AttentionCase& c, Sharing way, const ProcessGroups& groups,
                  Communicator& context)
      : qkv(shape(c, c.geometry.qkv_width())),
        dout(shape(c, c.geometry.width())),
        out(shape(c, c.geometry.width())),
        dqkv(shape(c, c.geometry.qkv_width())),
        groups_(groups),
        context_(context),
        registry_(Mesh{}, {}),
        attention_(make(c, way)),
        parameters_(device(), {}, DType::f32, Purpose::training),
        lse_({c.samples, c.geometry.heads, c.sharding.rows()}),
        delta_({c.samples, c.geometry.heads, c.sharding.rows()}) {
    std::int64_t bytes = 0;
    for (const BufferSpec& spec : specs_) bytes += Arena::footprint(spec.shape, spec.dtype);
    memory_ = Arena(device(), bytes);
    for (const BufferSpec& spec : specs_) buffers_.push_back(memory_.take(spec.shape, spec.dtype));
    batch_.samples = c.samples, batch_.sequence = c.sharding.rows();
    if (!c.starts.empty()) mask_documents(c, way);
  }

  OwnedTensor qkv, dout, out, dqkv;

  // Forward and backward.
  void run(const Stream& stream) {
    LayerContext context{.stream = stream,
                         .tensor = *groups_.tensor,
                         .context = context_,
                         .parameters = parameters_,
                         .batch = batch_,
                         .buffers = buffers_};
    attention_->forward(context, qkv, out, lse_);
    attention_->backward(context, {qkv, out, lse_, dout, delta_, dqkv, {}});
  }

 private:
  static Shape shape(const AttentionCase& c, std::int64_t width) {
    return {c.samples, c.sharding.rows(), width};
  }

  std::unique_ptr<SequenceAttention> make(const AttentionCase& c, Sharing way) {
    LayerSetup setup{.config = config_,
                     .place = {0, 1, true},
                     .shape = {c.samples, c.sharding.rows()},
                     .context = {c.sharding, context_.rank()},
                     .device = device(),
                     .document_mask = !c.starts.empty(),
                     .parameters = registry_,
                     .buffers = {0, DType::f32, specs_},
                     .workspace = workspace_};
    if (way == Sharing::by_heads) return std::make_unique<HeadAttention>(setup, c.geometry);
    const auto exchange =
        way == Sharing::all_rows ? std::optional(Exchange::everything) : std::nullopt;
    return std::make_unique<ContextAttention>(setup, c.geometry, exchange);
  }

  void mask_documents(const AttentionCase& c, Sharing way) {
    const std::int64_t rows = c.sharding.rows(), sequence = c.sharding.sequence();
    first_keys_.emplace(integers(c.samples * rows, [&](std::int64_t i) {
      return c.first_key(c.sharding.position(context_.rank(), i % rows));
    }));
    batch_.first_keys = Tensor(*first_keys_).reshape({c.samples, rows});
    batch_.document_starts.assign(static_cast<std::size_t>(c.samples), c.starts);
    if (way != Sharing::by_heads) return;
    all_first_keys_.emplace(
        integers(c.samples * sequence, [&](std::int64_t i) { return c.first_key(i % sequence); }));
    batch_.all_first_keys = Tensor(*all_first_keys_).reshape({c.samples, sequence});
  }

  const ProcessGroups& groups_;
  Communicator& context_;
  ModelConfig config_;
  ParameterRegistry registry_;
  std::vector<BufferSpec> specs_;
  std::int64_t workspace_ = 0;
  std::unique_ptr<SequenceAttention> attention_;
  ParameterSet parameters_;
  Arena memory_;
  std::vector<Tensor> buffers_;
  MicroBatch batch_;
  OwnedTensor lse_, delta_;
  std::optional<OwnedTensor> first_keys_, all_first_keys_;
};

}  // namespace masformer::test
