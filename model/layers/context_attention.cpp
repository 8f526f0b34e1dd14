#include "model/layers/context_attention.h"

#include <algorithm>
#include <utility>

#include "model/layers/exchange_messages.h"
#include "runtime/op_timer.h"
#include "runtime/ops/attention/attention.h"
#include "runtime/ops/attention/merge_attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/strided_rows.h"

namespace masformer {
namespace {

// A contiguous tensor of another shape, of at most as many elements, in the memory of `buffer`.
Tensor in_memory_of(const Tensor& buffer, const Shape& shape) {
  return {buffer.raw(), shape, buffer.dtype(), buffer.device()};
}

Tensor rows_of(const Tensor& tensor, int dim, RowRange rows) {
  return tensor.slice(dim, rows.begin, rows.size());
}

bool overlap(RowRange a, RowRange b) {
  return a.begin < b.end && b.begin < a.end;
}

std::int64_t max_rows(const ExchangePlan& plan, std::int64_t (ExchangeStep::*count)() const) {
  std::int64_t rows = 0;
  for (const ExchangeStep& step : plan.steps) rows = std::max(rows, (step.*count)());
  return rows;
}

// The keys of the largest call whose gradients are added to those of an earlier call of its step.
std::int64_t most_overlapping_keys(const ExchangePlan& plan) {
  std::int64_t most = 0;
  for (const ExchangeStep& step : plan.steps) {
    for (auto call = step.calls.begin(); call != step.calls.end(); ++call) {
      const bool overlaps = std::any_of(
          step.calls.begin(), call,
          [&](const AttentionCall& earlier) { return overlap(earlier.keys, call->keys); });
      if (overlaps) most = std::max(most, call->keys.size());
    }
  }
  return most;
}

template <class Holds>
bool any_call(const ExchangePlan& plan, const Holds& holds) {
  return std::ranges::any_of(
      plan.steps, [&](const ExchangeStep& step) { return std::ranges::any_of(step.calls, holds); });
}

}  // namespace

ContextAttention::ContextAttention(LayerSetup& setup, const AttentionGeometry& geometry,
                                   std::optional<Exchange> exchange)
    : geometry_(geometry),
      sharding_(setup.context.sharding),
      rank_(setup.context.rank),
      exchange_(exchange ? *exchange : choose_exchange(sharding_, geometry.span)),
      plan_(plan_exchange(sharding_, SequenceMask(geometry.span), exchange_, rank_)),
      document_mask_(setup.document_mask),
      samples_(setup.shape.samples),
      rows_(setup.shape.sequence),
      dtype_(setup.buffers.dtype()) {
  if (sharding_.ranks() == 1) return;
  add_slots(setup);
  add_partial_results(setup);
}

void ContextAttention::add_slots(LayerSetup& setup) {
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  const bool recomputed = setup.recompute != Recompute::none;
  const auto shape = [&](std::int64_t rows) {
    return Shape{rows, samples_, 2 * geometry_.key_width()};
  };
  const Shape held = shape(max_rows(plan_, &ExchangeStep::held_rows));
  const Shape sent = shape(max_rows(plan_, &ExchangeStep::sent_rows));
  const std::size_t count = std::min<std::size_t>(plan_.steps.size() - 1, 2);
  for (std::size_t i = 0; i < count; ++i) {
    Slot& before = forward_[i];
    Slot& after = backward_[i];
    if (held[0] > 0) {
      before.held =
          buffers.add("held keys and values", held, forward, plan_.kept ? backward_input : forward);
      after.held = plan_.kept ? *before.held
                              : buffers.add("held again", held, backward_input, backward_input);
      after.returned = buffers.add_fp32("returned gradients", held, backward_input, backward_input);
    }
    if (sent[0] > 0) {
      before.sent = buffers.add("sent keys and values", sent, forward, forward);
      if (!plan_.kept) after.sent = buffers.add("sent again", sent, backward_input, backward_input);
      // A step's gradients arrive after those of the step before were added, so one buffer is
      // enough.
      after.arriving =
          i == 0 ? buffers.add_fp32("arriving gradients", sent, backward_input, backward_input)
                 : *backward_[0].arriving;
    }
    for (const auto& id : {before.held, before.sent}) {
      if (recomputed && id) buffers.mark_recomputed(*id);
    }
  }
}

void ContextAttention::add_partial_results(LayerSetup& setup) {
  using enum Pass;
  BufferRegistry& buffers = setup.buffers;
  const bool recomputed = setup.recompute != Recompute::none;
  const bool bf16 = buffers.dtype() != DType::f32;
  const Shape queries{samples_, rows_, geometry_.width()};
  const bool merges = any_call(plan_, [](const AttentionCall& call) { return call.merges; });
  if (merges) {
    partial_out_ = buffers.add("partial attended", queries, forward, forward);
    partial_lse_ =
        buffers.add_fp32("partial lse", {samples_, geometry_.heads, rows_}, forward, forward);
    if (bf16) out_sum_ = buffers.add_fp32("attended sum", queries, forward, forward);
    for (const auto& id : {partial_out_, partial_lse_, out_sum_}) {
      if (recomputed && id) buffers.mark_recomputed(*id);
    }
    partial_dq_ = buffers.add_fp32("partial q gradient", queries, backward_input, backward_input);
  }
  const auto pairs_of_rows = [&](std::int64_t rows) {
    return Shape{rows, samples_, 2 * geometry_.key_width()};
  };
  dkv_ =
      buffers.add_fp32("k and v gradients", pairs_of_rows(rows_), backward_input, backward_input);
  // Documents divide calls into several, which may overlap.
  const std::int64_t most = document_mask_
                                ? std::max(rows_, max_rows(plan_, &ExchangeStep::held_rows))
                                : most_overlapping_keys(plan_);
  if (most > 0) {
    partial_dkv_ = buffers.add_fp32("partial k and v gradients", pairs_of_rows(most),
                                    backward_input, backward_input);
  }
}

ExchangePlan ContextAttention::plan_of(const MicroBatch& batch) const {
  if (batch.document_starts.empty()) return plan_;
  return plan_exchange(sharding_, SequenceMask(geometry_.span, batch.document_starts), exchange_,
                       rank_);
}

// What the passes share: views of the operands, and the messages under way.
class ContextAttention::Run {
 public:
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

 protected:
  ~Run() = default;
  Run(const ContextAttention& layer, LayerContext& context, Tensor qkv, const Slots& slots)
      : layer_(layer),
        context_(context),
        plan_(layer.plan_of(context.batch)),
        qkv_(qkv),
        width_(layer.geometry_.width()),
        key_width_(layer.geometry_.key_width()),
        own_(qkv.slice(2, width_, 2 * key_width_).swapped(0, 1)),
        slots_(slots),
        fetches_(steps().size()) {}

  const std::vector<ExchangeStep>& steps() const { return plan_.steps; }
  bool kept() const { return plan_.kept; }

  struct Messages {
    std::vector<Request> sends, receives;
  };

  const Slot& slot(std::size_t step) const { return slots_[(step - 1) % slots_.size()]; }
  Tensor buffer(const std::optional<BufferId>& id) const { return context_.buffers[*id]; }

  // Starts the messages of a step, and copies the own rows among those that it holds.
  void start_fetch(std::size_t step) {
    if (step > slots_.size()) wait(fetches_[step - slots_.size()].sends);
    const ExchangeStep& plan = steps()[step];
    Messages& messages = fetches_[step];
    if (!plan.held.empty()) {
      const Tensor held = buffer(slot(step).held);
      for (const HeldSegment& segment : plan.held) {
        const Tensor to = held.slice(0, segment.first_row, segment.rows.size());
        if (segment.rank == layer_.rank_) {
          copy_rows(context_.stream, rows_of(own_, 0, segment.rows), to);
        } else {
          messages.receives.push_back(context_.context.receive(to, segment.rank));
        }
      }
    }
    std::int64_t row = 0;
    for (const SentRows& sent : plan.sends) {
      const Tensor packed = buffer(slot(step).sent).slice(0, row, sent.rows.size());
      copy_rows(context_.stream, rows_of(own_, 0, sent.rows), packed);
      messages.sends.push_back(context_.context.send(packed, sent.rank));
      row += sent.rows.size();
    }
  }

  void wait(std::vector<Request>& requests) {
    time_wait(context_.stream, "context ranks", [&] {
      for (Request& request : requests) request.wait();
    });
    requests.clear();
  }
  void wait_for_fetch(std::size_t step) { wait(fetches_[step].receives); }
  void wait_for_sends() {
    for (Messages& messages : fetches_) wait(messages.sends);
  }

  // [R, B, V] of keys or values -> [B, R, key heads, head dim].
  Tensor by_heads(const Tensor& rows) const { return layer_.split_heads(rows.swapped(0, 1)); }
  Tensor queries_of(const Tensor& x, const AttentionCall& call) const {
    return layer_.split_heads(rows_of(x, 1, call.queries));
  }
  Shape query_shape(const AttentionCall& call) const {
    return {layer_.samples_, call.queries.size(), layer_.geometry_.heads,
            layer_.geometry_.head_dim};
  }
  // The part of rows [R, B, 2 V] that a call uses.
  Tensor keys_of(const Tensor& rows, const AttentionCall& call) const {
    return by_heads(rows_of(rows, 0, call.keys).slice(2, 0, key_width_));
  }
  Tensor values_of(const Tensor& rows, const AttentionCall& call) const {
    return by_heads(rows_of(rows, 0, call.keys).slice(2, key_width_, key_width_));
  }
  Tensor rows_for(std::size_t step, const AttentionCall& call) const {
    return call.held ? buffer(slot(step).held) : own_;
  }
  AttentionMask mask_of(const AttentionCall& call) const {
    const Tensor first_keys = context_.batch.first_keys;
    return {.span = call.span,
            .query_offset = call.query_offset,
            .key_offset = call.key_offset,
            .first_keys = first_keys ? rows_of(first_keys, 1, call.queries) : Tensor()};
  }

  const ContextAttention& layer_;
  LayerContext& context_;
  const ExchangePlan plan_;
  Tensor qkv_;
  std::int64_t width_, key_width_;
  Tensor own_;  // [S, B, 2 V]: the own keys and values

 private:
  const Slots& slots_;
  std::vector<Messages> fetches_;  // [step]
};

class ContextAttention::ForwardRun : private Run {
 public:
  ForwardRun(const ContextAttention& layer, LayerContext& context, Tensor qkv, Tensor out,
             Tensor lse)
      : Run(layer, context, qkv, layer.forward_), out_(out), lse_(lse) {}

  void run() {
    for (std::size_t step = 0; step < steps().size(); ++step) {
      if (step + 1 < steps().size()) start_fetch(step + 1);
      if (step > 0) wait_for_fetch(step);
      for (const AttentionCall& call : steps()[step].calls) compute(step, call);
    }
    if (layer_.out_sum_) copy_rows(context_.stream, buffer(layer_.out_sum_), out_);
    wait_for_sends();
  }

 private:
  void compute(std::size_t step, const AttentionCall& call) {
    const Tensor rows = rows_for(step, call);
    Tensor out = queries_of(out_, call), lse = rows_of(lse_, 2, call.queries);
    if (call.merges) {
      out = in_memory_of(buffer(layer_.partial_out_), query_shape(call));
      lse = in_memory_of(buffer(layer_.partial_lse_),
                         {layer_.samples_, layer_.geometry_.heads, call.queries.size()});
    }
    attention(context_.stream, {.q = queries_of(qkv_.slice(2, 0, width_), call),
                                .k = keys_of(rows, call),
                                .v = values_of(rows, call),
                                .mask = mask_of(call),
                                .scale = layer_.geometry_.scale,
                                .out = out,
                                .lse = lse});
    const Tensor sum = layer_.out_sum_ ? buffer(layer_.out_sum_) : out_;
    if (call.merges) {
      merge_attention(context_.stream, {.out = queries_of(sum, call),
                                        .lse = rows_of(lse_, 2, call.queries),
                                        .other_out = out,
                                        .other_lse = lse});
    } else if (layer_.out_sum_) {
      copy_rows(context_.stream, rows_of(out_, 1, call.queries), rows_of(sum, 1, call.queries));
    }
  }

  Tensor out_, lse_;
};

class ContextAttention::BackwardRun : private Run {
 public:
  BackwardRun(const ContextAttention& layer, LayerContext& context, const Backward& args)
      : Run(layer, context, args.qkv, layer.backward_), args_(args), returns_(steps().size()) {}

  void run() {
    if (kept()) {
      run_kept();
    } else {
      run_in_turn();
    }
    for (Messages& messages : returns_) wait(messages.sends);
    if (sums_apart()) copy_rows(context_.stream, args_.dq_sum, dq_columns());
    copy_rows(context_.stream, buffer(layer_.dkv_),
              args_.dqkv.slice(2, width_, 2 * key_width_).swapped(0, 1));
    wait_for_sends();
  }

 private:
  // The rows of others are still there. Their gradients travel while the rest is computed.
  void run_kept() {
    for (std::size_t step = steps().size(); step-- > 0;) {
      compute(step);
      if (step > 0) start_return(step);
    }
    for (std::size_t step = 1; step < steps().size(); ++step) finish_return(step);
  }

  void run_in_turn() {
    for (std::size_t step = 0; step < steps().size(); ++step) {
      if (step + 1 < steps().size()) start_fetch(step + 1);
      if (step > 0) wait_for_fetch(step);
      compute(step);
      if (step > 1) finish_return(step - 1);
      if (step > 0) start_return(step);
    }
    if (steps().size() > 1) finish_return(steps().size() - 1);
  }

  void compute(std::size_t step) {
    const std::vector<AttentionCall>& calls = steps()[step].calls;
    const std::int64_t rows = step == 0 ? layer_.rows_ : steps()[step].held_rows();
    if (rows == 0) return;
    const Tensor sum = step == 0 ? buffer(layer_.dkv_) : buffer(slot(step).returned);
    const bool covered = calls.size() == 1 && calls.front().keys.size() == rows;
    if (!covered) fill_zero(context_.stream, sum.slice(0, 0, rows));
    std::vector<RowRange> written;
    for (const AttentionCall& call : calls) {
      const bool first =
          std::ranges::none_of(written, [&](RowRange range) { return overlap(range, call.keys); });
      written.push_back(call.keys);
      compute(step, call, rows_of(sum, 0, call.keys), first);
    }
  }

  // Writes the gradients of the call's keys and values to `dkv`, or adds to it.
  void compute(std::size_t step, const AttentionCall& call, Tensor dkv, bool writes) {
    const Tensor rows = rows_for(step, call);
    const Tensor part = writes ? dkv : in_memory_of(buffer(layer_.partial_dkv_), dkv.shape());
    const Tensor total = sums_apart() ? args_.dq_sum : dq_columns();
    const Tensor dq = call.merges ? in_memory_of(buffer(layer_.partial_dq_), query_shape(call))
                                  : queries_of(total, call);
    const bool rounds = dq.dtype() != DType::f32;
    attention_backward(
        context_.stream,
        {.q = queries_of(args_.qkv.slice(2, 0, width_), call),
         .k = keys_of(rows, call),
         .v = values_of(rows, call),
         .mask = mask_of(call),
         .scale = layer_.geometry_.scale,
         .out = queries_of(args_.out, call),
         .lse = rows_of(args_.lse, 2, call.queries),
         .dout = queries_of(args_.dout, call),
         .delta = rows_of(args_.delta, 2, call.queries),
         .dq = dq,
         .dk = by_heads(part.slice(2, 0, key_width_)),
         .dv = by_heads(part.slice(2, key_width_, key_width_)),
         .dq_sum = rounds ? in_memory_of(args_.dq_sum, query_shape(call)) : Tensor()});
    if (!writes) add_rows(context_.stream, part, dkv);
    if (call.merges) {
      const Shape flat{layer_.samples_, call.queries.size(), width_};
      add_rows(context_.stream, in_memory_of(dq, flat), rows_of(total, 1, call.queries));
    }
  }

  // Sends the gradients of a step's held rows to their owners.
  void start_return(std::size_t step) {
    const ExchangeStep& plan = steps()[step];
    Messages& messages = returns_[step];
    std::int64_t row = 0;
    for (const SentRows& sent : plan.sends) {
      const Tensor arriving = buffer(slot(step).arriving).slice(0, row, sent.rows.size());
      messages.receives.push_back(context_.context.receive(arriving, sent.rank));
      row += sent.rows.size();
    }
    for (const HeldSegment& segment : plan.held) {
      if (segment.rank == layer_.rank_) continue;
      const Tensor returned =
          buffer(slot(step).returned).slice(0, segment.first_row, segment.rows.size());
      messages.sends.push_back(context_.context.send(returned, segment.rank));
    }
  }

  // Adds what returned to this rank, in the order of the plan.
  void finish_return(std::size_t step) {
    const ExchangeStep& plan = steps()[step];
    wait(returns_[step].receives);
    const Tensor dkv = buffer(layer_.dkv_);
    for (const HeldSegment& segment : plan.held) {
      if (segment.rank != layer_.rank_) continue;
      add_rows(context_.stream,
               buffer(slot(step).returned).slice(0, segment.first_row, segment.rows.size()),
               rows_of(dkv, 0, segment.rows));
    }
    std::int64_t row = 0;
    for (const SentRows& sent : plan.sends) {
      add_rows(context_.stream, buffer(slot(step).arriving).slice(0, row, sent.rows.size()),
               rows_of(dkv, 0, sent.rows));
      row += sent.rows.size();
    }
    wait(returns_[step].sends);
  }

  // Whether dq is the sum of several calls and rounded to bf16 after the last.
  bool sums_apart() const { return layer_.partial_dq_ && args_.dq_sum; }
  Tensor dq_columns() const { return args_.dqkv.slice(2, 0, width_); }

  const Backward& args_;
  std::vector<Messages> returns_;  // [step]
};

MessageSizes ContextAttention::message_sizes() const {
  return exchange_message_sizes({.plan = plan_,
                                 .sharding = sharding_,
                                 .rank = rank_,
                                 .row_elements = samples_ * 2 * geometry_.key_width(),
                                 .dtype = dtype_,
                                 .document_mask = document_mask_});
}

ContextAttention::Parts ContextAttention::parts_of(const Tensor& qkv) const {
  const std::int64_t width = geometry_.width(), key_width = geometry_.key_width();
  return {.q = split_heads(qkv.slice(2, 0, width)),
          .k = split_heads(qkv.slice(2, width, key_width)),
          .v = split_heads(qkv.slice(2, width + key_width, key_width))};
}

void ContextAttention::forward(LayerContext& context, Tensor qkv, Tensor out, Tensor lse) const {
  if (sharding_.ranks() > 1) return ForwardRun(*this, context, qkv, out, lse).run();
  const Parts parts = parts_of(qkv);
  attention(context.stream,
            {.q = parts.q,
             .k = parts.k,
             .v = parts.v,
             .mask = {.span = geometry_.span, .first_keys = context.batch.first_keys},
             .scale = geometry_.scale,
             .out = split_heads(out),
             .lse = lse});
}

void ContextAttention::backward(LayerContext& context, const Backward& args) const {
  if (sharding_.ranks() > 1) return BackwardRun(*this, context, args).run();
  const Parts parts = parts_of(args.qkv), gradients = parts_of(args.dqkv);
  attention_backward(context.stream,
                     {.q = parts.q,
                      .k = parts.k,
                      .v = parts.v,
                      .mask = {.span = geometry_.span, .first_keys = context.batch.first_keys},
                      .scale = geometry_.scale,
                      .out = split_heads(args.out),
                      .lse = args.lse,
                      .dout = split_heads(args.dout),
                      .delta = args.delta,
                      .dq = gradients.q,
                      .dk = gradients.k,
                      .dv = gradients.v,
                      .dq_sum = args.dq_sum ? split_heads(args.dq_sum) : Tensor()});
}

}  // namespace masformer
