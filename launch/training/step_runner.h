// One training step on this rank: forward and backward of its micro-batches, the gradients' sum
// over ranks, and the update.
#pragma once

#include <array>
#include <cstdint>

#include "launch/output/metrics.h"
#include "launch/training/job.h"
#include "runtime/readback.h"
#include "runtime/wait_timer.h"

namespace masformer {

// A step that was issued. Its device may still be working on it.
struct IssuedStep {
  std::int64_t number = 0;    // from 1
  PackedDocuments documents;  // of all ranks
  StepTiming timing;
  TimedWaits waits;  // of forward, backward and the sums; empty if busy_is_timed() says no
  SentByAxis sent;   // by this rank; set by update()
};

// A step's loss and gradient norm. The same on all ranks.
struct StepSums {
  double loss = 0;  // nats, over all predicted tokens
  double squared_gradient_norm = 0;
};

// Whether a step's busy time is measured: on CPUs always; on devices, where events cost more, in
// every eighth step.
bool busy_is_timed(const Job& job, std::int64_t step);

class StepRunner {
 public:
  // `job` outlives the runner.
  explicit StepRunner(Job& job);

  // Issues forward and backward over the data rank's batch, the sum of gradients over ranks, and
  // the gradient norm. `documents`: of the batches of all data ranks. Throws AgreedError if they
  // predict no token. Collective.
  IssuedStep forward_backward(std::int64_t number, const Batch& batch, PackedDocuments documents);
  // Issues the update of that step, then the copy of its sums to the host. Collective.
  void update(IssuedStep& step);
  // Waits until the device has updated the last step. Returns its sums.
  StepSums wait_for_sums() const;
  // The part of that step's loss that this rank computed itself; 0 but on the last stage.
  double own_loss(std::int64_t number) const { return own_loss_[number % 2].wait(); }

 private:
  SentByAxis sent_since_start() const;

  Job& job_;
  Readback loss_, squared_norm_;
  std::array<Readback, 2> own_loss_;  // of even and odd steps: the next one begins meanwhile
  SentByAxis sent_before_;            // the step that is being issued
};

}  // namespace masformer
