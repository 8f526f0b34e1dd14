// ZeRO-1 over the data axis (Rajbhandari et al., arXiv 1910.02054): gradients are summed onto the
// rank that owns their rows, and updated rows go back to all. Gradients that tensor ranks have of
// their own tokens alone are summed over the tensor axis first, all at once at the end.
//
// Both are under way while layers compute: gradients leave as soon as a layer's last micro-batch is
// done, values arrive while earlier layers compute the next step. One thread issues everything, in
// the order of the plan, and MPI moves on when poll() is called.
#pragma once

#include <optional>
#include <vector>

#include "model/parameters.h"
#include "parallel/comm/process_groups.h"

namespace masformer {

class ParameterSync {
 public:
  // `shared_table`: the token table, where first and last stage are two and share it. The stream,
  // the groups and the parameters' memory outlive this object. Every call is made by all ranks of
  // the data axis, in the same order.
  ParameterSync(const Stream& stream, const ParameterSet& parameters,
                std::optional<ParameterId> shared_table, const ProcessGroups& groups);

  // Starts to sum the gradients of these parameters; the micro-batches are through with them.
  void reduce(ParameterRange parameters);
  // Returns when the owned rows of all gradients are the sums over all copies of the model, and
  // over both copies of a shared table.
  void finish_reduction();

  // Makes the owned rows of a parameter's value those of its master, and starts to send them to all
  // ranks.
  void start_all_gather(ParameterId id);
  void start_all_gathers();
  // Returns when these values have arrived.
  void wait_for(ParameterRange parameters);

  // Lets what goes by MPI move on.
  void poll();
  // Returns when nothing is under way any more. On all ranks, where all give up together.
  void drain();

  // What this rank has handed to the tensor axis for gradients.
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
