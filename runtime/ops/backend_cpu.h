// The CPU backend: every op's contract is in its own header, and its operands are checked before
// they come here. OpenMP between cores, SIMD within.
#pragma once

#include <cstdint>

#include "runtime/ops/adamw.h"
#include "runtime/ops/attention.h"
#include "runtime/ops/cross_entropy.h"
#include "runtime/ops/layer_norm.h"
#include "runtime/stream.h"
#include "runtime/tensor.h"

namespace masformer::cpu {

bool has_products(DType dtype);
void linear(const Stream& stream, Tensor x, Tensor weight, Tensor bias, Tensor y);
void linear_backward_input(const Stream& stream, Tensor dy, Tensor weight, Tensor dx);
void linear_backward_weight(const Stream& stream, Tensor dy, Tensor x, Tensor dweight,
                            Tensor dbias);

void attention(const Stream& stream, const AttentionForward& args);
void attention_backward(const Stream& stream, const AttentionBackward& args);

void gelu(const Stream& stream, Tensor x, Tensor y);
void gelu_backward(const Stream& stream, Tensor x, Tensor dy, Tensor dx);

void layer_norm(const Stream& stream, Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y,
                Tensor mean, Tensor rstd);
void layer_norm_backward(const Stream& stream, const LayerNormBackward& args);

void add_residual(const Stream& stream, Tensor x, Tensor bias, Tensor y);
double sum_of_squares(const Stream& stream, Tensor x);
void fill_zero(const Stream& stream, Tensor x);
void copy(const Stream& stream, Tensor from, Tensor to);

void embedding(const Stream& stream, Tensor ids, Tensor table, std::int64_t first, bool accumulate,
               Tensor y);
void embedding_backward(const Stream& stream, Tensor ids, Tensor dy, std::int64_t first,
                        Tensor dtable);

void softmax_max(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor max);
void softmax_sum(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor labels,
                 Tensor max, Tensor sum, Tensor target);
double cross_entropy(const Stream& stream, Tensor labels, Tensor max, Tensor sum, Tensor target,
                     Tensor lse);
void cross_entropy_backward(const Stream& stream, Tensor logits, VocabularyShard shard,
                            Tensor labels, Tensor lse, float scale, Tensor dlogits);

void adamw(const Stream& stream, const AdamWStep& step, Tensor gradient, Tensor master, Tensor m,
           Tensor v);

}  // namespace masformer::cpu
