// Merges the attention of the same queries over two disjoint sets of keys, as FlashAttention-2 does
// between blocks and Ring Attention (arXiv 2310.01889) between ranks:
//   lse = log(exp(lse) + exp(other_lse))
//   out = exp(lse_old - lse) out + exp(other_lse - lse) other_out
// An `out` whose lse is -infinity, which means that no key was seen, counts as 0 and may be
// unspecified. If both are, the results are 0 and -infinity. A merge with an unseen side keeps the
// bits of the other one (rounded to the dtype of `out`).
#pragma once

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

// B batch, S queries, N heads, D head dim. Last dimensions are contiguous; rows may lie apart. The
// tensors must not overlap.
struct AttentionMerge {
  Tensor out;        // [B, S, N, D] fp32 or bf16, read and written
  Tensor lse;        // [B, N, S] fp32, read and written
  Tensor other_out;  // [B, S, N, D] fp32 or bf16
  Tensor other_lse;  // [B, N, S] fp32
};

// The sums are in fp32, and `out` is rounded once. The bits do not depend on the number of threads.
void merge_attention(const Stream& stream, const AttentionMerge& args);

}  // namespace masformer
