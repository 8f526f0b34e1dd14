#include "model/layers/head_attention.h"

#include <vector>

#include "parallel/comm/staged/communicator.h"
#include "runtime/error.h"
#include "runtime/op_timer.h"
#include "runtime/ops/attention/attention_cudnn.h"
#include "runtime/ops/cuda_workspace.h"
#include "runtime/ops/strided_rows.h"

namespace masformer {
namespace {

// A contiguous tensor of another shape with equally many elements, in the same memory.
Tensor reshaped(const Tensor& x, const Shape& shape) {
  require(x.elements() == shape.elements(), "{} has not as many elements as {}", x.shape(), shape);
  return {x.raw(), shape, x.dtype(), x.device()};
}

Tensor rows_of(const Tensor& x, RowRange rows) {
  return x.slice(0, rows.begin, rows.size());
}

Tensor rows_of(const Tensor& x, PositionRange rows) {
  return x.slice(0, rows.begin, rows.size());
}

// [P - 1, S, ...] -> [S, ...]: what `rank` sends to `other`, or receives from it.
Tensor part_of(const Tensor& all, int rank, int other) {
  const Tensor one = all.slice(0, other - (other > rank ? 1 : 0), 1);
  return one.reshape({one.dim(1), one.dim(2), one.dim(3)});
}

// The messages under way: to one rank, and from one rank.
struct Messages {
  std::vector<Request> sends, receives;

  void wait(const Stream& stream) {
    time_wait(stream, "context ranks", [&] {
      for (Request& request : receives) request.wait();
      for (Request& request : sends) request.wait();
    });
  }
};

}  // namespace

HeadAttention::HeadAttention(LayerSetup& setup, const AttentionGeometry& geometry)
    : geometry_(geometry),
      plan_(plan_head_exchange(setup.context.sharding)),
      recompute_(setup.recompute),
      rank_(setup.context.rank),
      ranks_(setup.context.sharding.ranks()),
      samples_(setup.shape.samples),
      rows_(setup.shape.sequence),
      share_(geometry.heads / ranks_),
      qkv_parts_{{0, geometry.width()},
                 {geometry.width(), geometry.key_width()},
                 {geometry.width() + geometry.key_width(), geometry.key_width()}},
      out_part_{{0, geometry.width()}},
      dtype_(setup.buffers.dtype()) {
  for (const std::int64_t heads : {geometry.heads, geometry.key_heads}) {
    require(heads % ranks_ == 0, "{} context ranks don't divide {} heads", ranks_, heads);
  }
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  const std::int64_t whole = rows_ * ranks_, width = share_ * geometry.head_dim;
  const std::int64_t qkv_width = geometry.qkv_width() / ranks_;
  const auto of_others = [&](std::int64_t columns) {
    return Shape{ranks_ - 1, rows_, samples_, columns};
  };
  qkv_ = buffers.add("qkv of the whole sequence", {whole, samples_, qkv_width}, Pass::forward,
                     backward_input);
  out_ = buffers.add("attended of the whole sequence", {whole, samples_, width}, Pass::forward,
                     backward_input);
  sent_qkv_ = buffers.add("sent qkv", of_others(qkv_width), Pass::forward, Pass::forward);
  arriving_out_ = buffers.add("arriving attended", of_others(width), Pass::forward, Pass::forward);
  dout_ = buffers.add("attended gradient of the whole sequence", {whole, samples_, width},
                      backward_input, backward_input);
  dqkv_ = buffers.add("qkv gradient of the whole sequence", {whole, samples_, qkv_width},
                      backward_input, backward_input);
  sent_dout_ =
      buffers.add("sent attended gradient", of_others(width), backward_input, backward_input);
  if (recompute_ != Recompute::none) {
    for (const BufferId id : {out_, arriving_out_}) buffers.mark_recomputed(id);
  }
  if (recompute_ == Recompute::block) {
    for (const BufferId id : {qkv_, sent_qkv_}) buffers.mark_recomputed(id);
  }
  // The built-in kernels, which take all calls with documents, need no working memory.
  if (!setup.document_mask && cuda::cudnn_may_take(dtype_, geometry.head_dim, geometry.span)) {
    setup.need_workspace(cuda_workspace::attention_backward(
        {samples_, whole, share_, geometry.key_heads / ranks_, geometry.head_dim},
        setup.deterministic));
  }
}

AttentionMask HeadAttention::mask_of(const MicroBatch& batch) const {
  return {.span = geometry_.span, .first_keys = batch.all_first_keys};
}

Tensor HeadAttention::columns_of(const Tensor& x, const Part& part, int rank) const {
  const std::int64_t width = part.width / ranks_;
  const std::int64_t share = plan_.shares[static_cast<std::size_t>(rank)];
  return x.slice(2, part.first + share * width, width).swapped(0, 1);
}

Tensor HeadAttention::share_of(const Tensor& x, const Part& part) const {
  return x.slice(2, part.first / ranks_, part.width / ranks_);
}

Tensor HeadAttention::heads_of(const Tensor& x, const Part& part) const {
  const std::int64_t heads = part.width / ranks_ / geometry_.head_dim;
  return share_of(x, part).swapped(0, 1).reshape(
      {samples_, rows_ * ranks_, heads, geometry_.head_dim});
}

Tensor HeadAttention::statistics_of(const Tensor& x) const {
  return reshaped(x, {samples_, share_, rows_ * ranks_});
}

Tensor HeadAttention::sums_of(const Tensor& x) const {
  return reshaped(x, {samples_, rows_ * ranks_, share_, geometry_.head_dim});
}

void HeadAttention::gather_heads(LayerContext& context, const Parts& parts, Tensor rows,
                                 Tensor packed, Tensor whole) const {
  // [S, B, C / P]: the heads of `rank`, of this rank's rows.
  const auto pack = [&](int rank, RowRange range, const Tensor& to) {
    for (const Part& part : parts) {
      copy_rows(context.stream, rows_of(columns_of(rows, part, rank), range), share_of(to, part));
    }
  };
  for (const HeldSegment& segment : plan_.segments) {
    if (segment.rank == rank_) pack(rank_, segment.rows, rows_of(whole, segment.positions));
  }
  for (int distance = 1; distance < ranks_; ++distance) {
    const int to = (rank_ + distance) % ranks_, from = (rank_ + ranks_ - distance) % ranks_;
    const Tensor sent = part_of(packed, rank_, to);
    pack(to, {0, rows_}, sent);
    Messages messages;
    for (const HeldSegment& segment : plan_.segments) {
      if (segment.rank == from) {
        messages.receives.push_back(
            context.context.receive(rows_of(whole, segment.positions), from));
      } else if (segment.rank == rank_) {
        messages.sends.push_back(context.context.send(rows_of(sent, segment.rows), to));
      }
    }
    messages.wait(context.stream);
  }
}

void HeadAttention::return_heads(LayerContext& context, const Parts& parts, Tensor whole,
                                 Tensor arriving, Tensor rows) const {
  const auto unpack = [&](int rank, RowRange range, const Tensor& from) {
    for (const Part& part : parts) {
      copy_rows(context.stream, share_of(from, part), rows_of(columns_of(rows, part, rank), range));
    }
  };
  for (const HeldSegment& segment : plan_.segments) {
    if (segment.rank == rank_) unpack(rank_, segment.rows, rows_of(whole, segment.positions));
  }
  for (int distance = 1; distance < ranks_; ++distance) {
    const int to = (rank_ + distance) % ranks_, from = (rank_ + ranks_ - distance) % ranks_;
    const Tensor part = part_of(arriving, rank_, from);
    Messages messages;
    for (const HeldSegment& segment : plan_.segments) {
      if (segment.rank == rank_) {
        messages.receives.push_back(context.context.receive(rows_of(part, segment.rows), from));
      } else if (segment.rank == to) {
        messages.sends.push_back(context.context.send(rows_of(whole, segment.positions), to));
      }
    }
    messages.wait(context.stream);
    unpack(from, {0, rows_}, part);
  }
}

void HeadAttention::attend(LayerContext& context, const AttentionMask& mask, Tensor out,
                           Tensor lse) const {
  const Tensor qkv = context.buffers[qkv_], whole = context.buffers[out_];
  attention(context.stream, {.q = heads_of(qkv, qkv_parts_[0]),
                             .k = heads_of(qkv, qkv_parts_[1]),
                             .v = heads_of(qkv, qkv_parts_[2]),
                             .mask = mask,
                             .scale = geometry_.scale,
                             .out = heads_of(whole, out_part_[0]),
                             .lse = statistics_of(lse)});
  return_heads(context, out_part_, whole, context.buffers[arriving_out_], out);
}

void HeadAttention::forward(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const {
  const AttentionMask mask = mask_of(context.batch);
  gather_heads(context, qkv_parts_, qkv, context.buffers[sent_qkv_], context.buffers[qkv_]);
  attend(context, mask, out, lse);
}

void HeadAttention::recompute(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const {
  if (recompute_ == Recompute::block) return forward(context, qkv, out, lse);
  attend(context, mask_of(context.batch), out, lse);
}

void HeadAttention::backward(LayerContext& context, const Backward& args) const {
  const Tensor qkv = context.buffers[qkv_];
  const Tensor dout = context.buffers[dout_], dqkv = context.buffers[dqkv_];
  gather_heads(context, out_part_, args.dout, context.buffers[sent_dout_], dout);
  attention_backward(context.stream, {.q = heads_of(qkv, qkv_parts_[0]),
                                      .k = heads_of(qkv, qkv_parts_[1]),
                                      .v = heads_of(qkv, qkv_parts_[2]),
                                      .mask = mask_of(context.batch),
                                      .scale = geometry_.scale,
                                      .out = heads_of(context.buffers[out_], out_part_[0]),
                                      .lse = statistics_of(args.lse),
                                      .dout = heads_of(dout, out_part_[0]),
                                      .delta = statistics_of(args.delta),
                                      .dq = heads_of(dqkv, qkv_parts_[0]),
                                      .dk = heads_of(dqkv, qkv_parts_[1]),
                                      .dv = heads_of(dqkv, qkv_parts_[2]),
                                      .dq_sum = args.dq_sum ? sums_of(args.dq_sum) : Tensor()});
  // q, k and v have been read, so what arrives may take their memory.
  const Tensor arriving =
      reshaped(qkv.slice(0, 0, rows_ * (ranks_ - 1)), {ranks_ - 1, rows_, samples_, qkv.dim(2)});
  return_heads(context, qkv_parts_, dqkv, arriving, args.dqkv);
}

// The exchange with the ranks at one distance ends before the next one begins. In each, every
// segment of this rank goes one way, and every segment of another rank the other way.
MessageSizes HeadAttention::message_sizes() const {
  MessageSizes most;
  for (const std::int64_t width : {geometry_.width(), geometry_.qkv_width()}) {
    for (int other = 0; other < ranks_; ++other) {
      if (other == rank_) continue;
      MessageSizes sizes;
      for (const HeldSegment& segment : plan_.segments) {
        if (segment.rank != rank_ && segment.rank != other) continue;
        const std::int64_t elements = segment.rows.size() * samples_ * width / ranks_;
        ++sizes[staged_message_memory(elements * size_of(dtype_))];
      }
      keep_larger(most, sizes);
    }
  }
  return most;
}

}  // namespace masformer
