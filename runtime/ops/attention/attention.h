// Softmax attention under a span's mask, in blocks with online softmax (FlashAttention-2, arXiv
// 2307.08691). The S x S scores are never stored, and blocks that the mask hides are never visited,
// so that the time of a windowed layer grows with S w.
//
// Shapes: B batch, S queries, K keys, N query heads, M key/value heads (N a multiple of M; head n
// reads key/value head n M / N), D head dim. q, k, v, out and dout are all fp32 or all bf16; each
// of dq, dk and dv has their dtype or is fp32, which holds the sums unrounded. Sums and statistics
// are fp32. q, k, v and their gradients may be slices of wider rows (last dimension contiguous).
// Query i is at position query_offset + i of its sequence, key j at key_offset + j; the mask is a
// function of positions, and of the documents that are packed into the sequence. The query at
// position p sees the keys [max(first_visible(span, p), first_keys), p].
#pragma once

#include <cstdint>

#include "runtime/span.h"
#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

struct AttentionMask {
  Span span;
  std::int64_t query_offset = 0;
  std::int64_t key_offset = 0;
  // [B, S] int32, on the stream's device: the position of the first token of each query's document,
  // at most the query's own; it never decreases along S. The query sees none of the keys before it.
  // Empty: the sequence is one document.
  Tensor first_keys;
};

struct AttentionForward {
  Tensor q;     // [B, S, N, D]
  Tensor k, v;  // [B, K, M, D]
  AttentionMask mask;
  float scale = 1;
  Tensor out;  // [B, S, N, D], written; zeros for a query that sees no key
  Tensor lse;  // [B, N, S], written: log of the sum of exp(scale q.k); -infinity for no key
};

// out_i = sum_j softmax_j(scale q_i.k_j) v_j over the visible keys j. Results over disjoint sets of
// keys can be merged with their lse.
void attention(const Stream& stream, const AttentionForward& args);

struct AttentionBackward {
  Tensor q;     // [B, S, N, D]
  Tensor k, v;  // [B, K, M, D]
  AttentionMask mask;
  float scale = 1;
  Tensor out;     // [B, S, N, D], from the forward
  Tensor lse;     // [B, N, S], from the forward
  Tensor dout;    // [B, S, N, D]
  Tensor delta;   // [B, N, S], scratch: the row sums of dout out
  Tensor dq;      // [B, S, N, D], written
  Tensor dk;      // [B, K, M, D], written
  Tensor dv;      // [B, K, M, D], written
  Tensor dq_sum;  // [B, S, N, D] fp32, scratch, contiguous; may be empty if dq is fp32
};

// With p = exp(scale q.k - lse), ds = p (dout.v - delta):
//   dq_i = scale sum_j ds_ij k_j,  dk_j = scale sum_i ds_ij q_i,  dv_j = sum_i p_ij dout_i.
// If the mask lets every query see only one key (window:1, or a sequence of 1), ds is exactly 0;
// with documents, it is exactly 0 for each query that sees only its own key. The bits do not depend
// on the number of threads.
void attention_backward(const Stream& stream, const AttentionBackward& args);

}  // namespace masformer
