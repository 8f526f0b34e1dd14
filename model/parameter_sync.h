// ZeRO-1 over the replicas, the ranks of the data and context axes (Rajbhandari et al., arXiv
// 1910.02054): a reduce-scatter sums gradients onto the rank that owns their rows, and an
// all-gather sends the updated rows back to all ranks.
//
// Both overlap with computation. The gradients of a layer are sent when its last micro-batch is
// done, and the values of a layer arrive while earlier layers compute the next step. There is one
// collective per parameter instead of one per large bucket: this sends more messages, but copies
// nothing into buckets, and sums in place. One thread issues all collectives in the same order on
// all ranks, so no lock is needed; over MPI they only progress when that thread calls poll().
//
// Partial gradients (ParameterSpec::partial) are summed over the tensor axis first. They are small,
// so they wait for the end and go in one all-reduce.
#pragma once

#include <optional>
#include <vector>

#include "model/parameters.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

class ParameterSync {
 public:
  // `shared_table`: the token table, if first and last stage both have a copy. The stream, the
  // groups and the memory of the parameters outlive this object. All replicas make
  // the same calls in the same order.
  ParameterSync(const Stream& stream, const ParameterSet& parameters,
                std::optional<ParameterId> shared_table, const ProcessGroups& groups);

  // Starts to sum the gradients of these parameters. No micro-batch may add to them any more.
  void reduce(ParameterRange parameters);
  // Waits until the owned rows of all gradients are sums over the replicas, and for a shared table
  // over both of its copies.
  void finish_reduction();

  // Copies the owned rows of a parameter's master to its value, and starts to send them to all data
  // ranks.
  void start_all_gather(ParameterId id);
  void start_all_gathers();
  // Waits until the values of these parameters have arrived.
  void wait_for(ParameterRange parameters);

  // Lets MPI make progress.
  void poll();
  // Waits for everything that was started. For errors that all ranks agree on: all ranks call it.
  void drain();

  // Bytes of gradients that this rank has sent along the tensor axis.
  SentBytes sent_to_tensor_ranks() const { return sent_to_tensor_ranks_; }

 private:
  struct Synced {
    Tensor value, owned_value, master, gradient, owned_gradient;
    bool partial;
    Request reduction{}, arrival{};
  };

  const Stream* stream_;
  std::vector<Synced> parameters_;
  void reduce(Synced& parameter);

  std::optional<ParameterId> shared_table_;
  Tensor partial_gradients_;
  const ProcessGroups* groups_;
  SentBytes sent_to_tensor_ranks_;
};

}  // namespace masformer
