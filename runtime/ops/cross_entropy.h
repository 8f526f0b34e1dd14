// Softmax cross-entropy over a vocabulary that may be split by columns between ranks, in three
// steps with a reduction between ranks after each (vocabulary parallelism, Megatron-LM, arXiv
// 1909.08053):
//
//   m = max over ranks of softmax_max            lse = m + log s,  s = sum over ranks
//   loss = lse - z, z = sum over ranks           dlogits = scale (exp(logits - lse) - [label])
//
// Shapes: T tokens, V columns of this rank's shard. The first `valid` columns are tokens of the
// vocabulary, and column v is token first + v; the rest is padding, which affects no result. Logits
// are fp32, and rows may lie apart. Labels [T] int32; a label below 0 predicts nothing: loss 0,
// gradient 0.
#pragma once

#include <cstdint>

#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer {

struct VocabularyShard {
  std::int64_t first = 0;  // the token of column 0
  std::int64_t valid = 0;  // columns that are not padding
};

// max [T]: the largest valid logit of each row; -infinity for an empty shard.
void softmax_max(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor max);

// sum [T] = sum of exp(logits - max) over the shard; target [T] = the label's logit if the label is
// in the shard, else 0. `max` is the maximum over all ranks.
void softmax_sum(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor labels,
                 Tensor max, Tensor sum, Tensor target);

// loss [1] fp64 += the sum over tokens of max + log(sum) - target, in double, without tokens whose
// label is below 0. Writes lse [T] = max + log(sum); it may be the same tensor as `sum`.
void cross_entropy(const Stream& stream, Tensor labels, Tensor max, Tensor sum, Tensor target,
                   Tensor lse, Tensor loss);

// dlogits [T, V], fp32 or bf16, = scale (exp(logits - lse) - [column is the label]); padding
// and rows without a label become 0. May be the same tensor as `logits`.
void cross_entropy_backward(const Stream& stream, Tensor logits, VocabularyShard shard,
                            Tensor labels, Tensor lse, float scale, Tensor dlogits);

}  // namespace masformer
