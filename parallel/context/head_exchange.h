// How the context ranks share the attention of a full layer: by tokens, with the exchange of keys
// and values of exchange_plan.h, or by heads (DeepSpeed-Ulysses, arXiv 2309.14509), which is
// planned here.
//
// By heads, each of P ranks computes 1/P of the heads of its tensor rank, over the whole sequence.
// It sends to every other rank that rank's share of the heads of its own rows of q, k and v, and
// gets back the rows' results. The backward sends the results' gradients, and gets back those of q,
// k and v. So every rank does the same work whatever rows it holds, and sends
// 4 (S/P) (P - 1)/P W elements in each direction, where W is the width of all heads: less than the
// rows of keys and values of a ring, 2 (S/P) (P - 1) W, if P is more than 2. Nothing is merged: the
// results are those of one call over the whole sequence, and gradients travel in the dtype of
// activations. In exchange, P has to divide the heads, a rank holds the whole sequence for its
// share of them, and no message overlaps with computation.
#pragma once

#include <vector>

#include "parallel/context/exchange_plan.h"
#include "parallel/context/sequence_sharding.h"
#include "runtime/enum_names.h"
#include "runtime/span.h"

namespace masformer {

// How full layers are shared. `ring`: by tokens, as all other layers.
#define MASFORMER_CONTEXT_FULLS(VALUE) VALUE(ring, "ring") VALUE(heads, "heads")
MASFORMER_NAMED_ENUM(ContextFull, MASFORMER_CONTEXT_FULLS);
#undef MASFORMER_CONTEXT_FULLS

// Whether a layer of this span is shared by heads.
constexpr bool is_by_heads(ContextFull full, const Span& span, int ranks) {
  return full == ContextFull::heads && span.kind == SpanKind::full && ranks > 1;
}

// The same on all ranks.
struct HeadExchange {
  // shares[rank]: which share of the heads the rank computes, from 0.
  std::vector<int> shares;
  // Where each row of the whole sequence comes from, and where its results return to: ascending by
  // position. A message between two ranks has one segment. In the buffer of the whole sequence, row
  // i is position i.
  std::vector<HeldSegment> segments;
};

HeadExchange plan_head_exchange(const SequenceSharding& sharding);

}  // namespace masformer
