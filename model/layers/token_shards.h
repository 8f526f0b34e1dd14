// How the residual stream of a micro-batch is split over the tensor axis: not at all (every rank
// has all tokens), or by tokens (sequence parallelism, Korthikanti et al., arXiv 2205.05198).
//
// Splitting divides the time and memory of norms, residual sums and messages between stages by the
// number of tensor ranks. It sends no more bytes: one all-reduce becomes a reduce-scatter and an
// all-gather. The price is two smaller exchanges instead of one, and one more sum, because each
// rank computes the gradients of norms from its own tokens only (ParameterSpec::partial).
//
// Shapes: T tokens of a micro-batch, H hidden. "Whole" is [T, H]; "own" is this rank's rows of it.
#pragma once

#include "parallel/comm/communicator.h"
#include "parallel/sharding.h"
#include "runtime/op_timer.h"
#include "runtime/tensor.h"

namespace masformer {

// A rank's place on the tensor axis.
struct TensorPlace {
  int rank = 0;
  int ranks = 1;
  bool sequence_parallel = false;
};

class TokenShards {
 public:
  TokenShards(std::int64_t tokens, const TensorPlace& place)
      : tokens_(tokens),
        shared_(place.sequence_parallel && place.ranks > 1),
        own_(shared_ ? shard_range(tokens, place.ranks, place.rank) : ShardRange{0, tokens}) {}

  std::int64_t tokens() const { return tokens_; }
  bool shared() const { return shared_; }
  const ShardRange& own() const { return own_; }
  Tensor own_rows(const Tensor& whole) const { return whole.slice(0, own_.begin, own_.count); }

  // Fills the other ranks' rows of `whole`.
  void gather(const Stream& stream, Communicator& tensor, const Tensor& whole) const {
    if (!shared_) return;
    time_wait(stream, "tensor ranks", [&] { tensor.all_gather(whole).wait(); });
  }
  // Replaces the own rows of `whole` by their sum over the ranks; all rows if tokens are not split.
  void sum(const Stream& stream, Communicator& tensor, const Tensor& whole) const {
    time_wait(stream, "tensor ranks", [&] {
      (shared_ ? tensor.reduce_scatter(whole) : tensor.all_reduce(whole, Reduction::sum)).wait();
    });
  }

 private:
  std::int64_t tokens_;
  bool shared_;
  ShardRange own_;
};

}  // namespace masformer
