// Which key/value rows travel between the context ranks for one attention layer, and which part of
// its attention each rank computes with the rows that it then holds. The plan is a pure function of
// the layer's mask and the sharding: what nobody sees neither travels nor is computed. One executor
// runs every plan (model/layers/context_attention.h).
//
// There are two ways to move visible rows:
//
// - at once: all of a rank's rows arrive in one step and are kept for the backward, whose messages
//   are then only gradients. Queries that see nothing but their own segment of positions are
//   computed meanwhile; each of the others is computed in one call over the rows before it, in
//   order. For a window this is a halo: w - 1 rows before each segment.
// - in turn: P - 1 steps, in which rank r receives from rank r - t while it computes with the rows
//   of step t - 1. A rank never holds more than the rows of two steps, and the results of the steps
//   are merged by their log-sum-exp. The backward fetches the rows again and returns their
//   gradients. Under a full causal mask this moves what a ring moves (Ring Attention, arXiv
//   2310.01889), less the rows that the receiver does not see.
//
// Rows are sent by their owner, not passed on from rank to rank as in a ring. The bytes that a rank
// receives are the same or fewer and need no step to finish before the next one starts; the price
// is that messages between distant ranks use links between machines that a ring would cross once.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/context/sequence_mask.h"
#include "parallel/context/sequence_sharding.h"
#include "runtime/enum_names.h"

namespace masformer {

// everything: all rows, at once, whether they are seen or not. Only for comparisons.
#define MASFORMER_EXCHANGES(VALUE) \
  VALUE(at_once, "at once") VALUE(in_turn, "in turn") VALUE(everything, "everything")
MASFORMER_NAMED_ENUM(Exchange, MASFORMER_EXCHANGES);
#undef MASFORMER_EXCHANGES

// Rows of a rank's own share that another rank gets.
struct SentRows {
  int rank = 0;  // the receiver
  RowRange rows;

  bool operator==(const SentRows&) const = default;
};

// Consecutive positions in a step's buffer of held rows.
struct HeldSegment {
  int rank = 0;   // the owner; the own rank's rows are copied
  RowRange rows;  // in the owner's share
  PositionRange positions;
  std::int64_t first_row = 0;  // in the buffer

  bool operator==(const HeldSegment&) const = default;
};

// One call of the attention op.
struct AttentionCall {
  RowRange queries;  // of the own share
  RowRange keys;     // of the held rows, or of the own share
  bool held = false;
  // For AttentionMask. They are positions, or, where a call combines several segments, numbers that
  // give the same mask.
  Span span;
  std::int64_t query_offset = 0, key_offset = 0;
  bool merges = false;  // an earlier call has results for these queries

  bool operator==(const AttentionCall&) const = default;
};

struct ExchangeStep {
  std::vector<SentRows> sends;    // messages between two ranks have the same order on both
  std::vector<HeldSegment> held;  // ascending; those of other ranks are received
  std::vector<AttentionCall> calls;

  bool has_messages() const { return !held.empty() || !sends.empty(); }
  std::int64_t sent_rows() const;
  std::int64_t held_rows() const;
};

struct ExchangePlan {
  bool kept = false;  // whether the held rows stay until the backward
  // The first step has no messages. Those of a step may travel while the previous step computes. In
  // turn, step t is that of the ranks at distance t, even if it has no messages: in the backward, a
  // rank sends rows at one distance and gradients at another to the same rank, and both ranks must
  // agree on what comes first.
  std::vector<ExchangeStep> steps;
};

// `rank`'s part of the exchange. The plans of all ranks fit together.
ExchangePlan plan_exchange(const SequenceSharding& sharding, const SequenceMask& mask,
                           Exchange exchange, int rank);

// At once if the span is narrower than the sequence and, on every rank, the rows of others are no
// more than its own, so that memory per rank does not grow with the number of ranks; else in turn.
// A rank whose queries all need rows of others has nothing to compute until these arrive, so full
// layers are always in turn.
Exchange choose_exchange(const SequenceSharding& sharding, const Span& span);

}  // namespace masformer
