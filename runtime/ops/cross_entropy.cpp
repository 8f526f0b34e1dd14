#include "runtime/ops/cross_entropy.h"

#include "runtime/ops/check.h"
#include "runtime/ops/dispatch.h"

namespace masformer {
namespace {

// Checks the operands that all three steps over logits have.
OperandCheck check_logits(Op op, const Stream& stream, const Tensor& logits,
                          VocabularyShard shard) {
  const OperandCheck check(op, stream);
  check.rows("logits", logits, {logits.dim(0), logits.dim(1)});
  require(shard.first >= 0 && shard.valid >= 0 && shard.valid <= logits.dim(1),
          "{}: the vocabulary shard has {} tokens from token {}, but the logits are {}",
          name_of(op), shard.valid, shard.first, logits.shape());
  return check;
}

}  // namespace

void softmax_max(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor max) {
  const OperandCheck check = check_logits(Op::softmax_max, stream, logits, shard);
  check.contiguous("max", max, {logits.dim(0)});
  dispatch<Op::softmax_max>(stream, logits, shard, max);
}

void softmax_sum(const Stream& stream, Tensor logits, VocabularyShard shard, Tensor labels,
                 Tensor max, Tensor sum, Tensor target) {
  const OperandCheck check = check_logits(Op::softmax_sum, stream, logits, shard);
  const Shape tokens = {logits.dim(0)};
  check.contiguous("labels", labels, tokens, DType::i32);
  check.contiguous("max", max, tokens);
  check.contiguous("sum", sum, tokens);
  check.contiguous("target", target, tokens);
  dispatch<Op::softmax_sum>(stream, logits, shard, labels, max, sum, target);
}

void cross_entropy(const Stream& stream, Tensor labels, Tensor max, Tensor sum, Tensor target,
                   Tensor lse, Tensor loss) {
  const Shape tokens = {labels.dim(0)};
  const OperandCheck check(Op::cross_entropy, stream);
  check.contiguous("labels", labels, tokens, DType::i32);
  check.contiguous("max", max, tokens);
  check.contiguous("sum", sum, tokens);
  check.contiguous("target", target, tokens);
  check.contiguous("lse", lse, tokens);
  check.contiguous("loss", loss, {1}, DType::f64);
  dispatch<Op::cross_entropy>(stream, labels, max, sum, target, lse, loss);
}

void cross_entropy_backward(const Stream& stream, Tensor logits, VocabularyShard shard,
                            Tensor labels, Tensor lse, float scale, Tensor dlogits) {
  const OperandCheck check = check_logits(Op::cross_entropy_backward, stream, logits, shard);
  check.contiguous("labels", labels, {logits.dim(0)}, DType::i32);
  check.contiguous("lse", lse, {logits.dim(0)});
  check.rows("dlogits", dlogits, logits.shape(), check.float_type("dlogits", dlogits));
  dispatch<Op::cross_entropy_backward>(stream, logits, shard, labels, lse, scale, dlogits);
}

}  // namespace masformer
