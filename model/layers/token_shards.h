// How the residual stream of a micro-batch lies on the tensor axis: whole on every rank, or each
// rank with its share of the tokens (sequence parallelism, Korthikanti et al., arXiv 2205.05198).
// Norms, residual sums and messages between stages then take a share of the time and memory, and
// what was one all-reduce is a reduce-scatter here and an all-gather there.
//
// Shapes: T tokens of a micro-batch, H hidden. "Whole" is [T, H], "own" this rank's rows of it.
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
  // The own rows of `whole` become their sum over the ranks; all rows where they are not shared.
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
