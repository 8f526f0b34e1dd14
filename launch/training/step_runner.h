// One training step on this rank: forward and backward of its micro-batches, the gradients' sum
// over ranks, and the update.
#pragma once

#include <cstdint>

#include "launch/output/metrics.h"
#include "launch/training/job.h"
#include "runtime/readback.h"

namespace masformer {

// A step that was issued. Its device may still be working on it.
struct IssuedStep {
  std::int64_t number = 0;  // from 1
  StepTiming timing;
  SentByAxis sent;  // by this rank, once it is updated
};

// What a step leaves behind on this rank; all ranks have the same.
struct StepSums {
  double loss = 0;  // nats, over all predicted tokens
  double squared_gradient_norm = 0;
};

class StepRunner {
 public:
  // `job` outlives the runner.
  explicit StepRunner(Job& job);

  // Issues the passes over a data rank's batch, the gradients' sum over ranks, and the gradient
  // norm. Collective.
  IssuedStep forward_backward(std::int64_t number, const Batch& batch);
  // Issues the update of that step, and then the reading of its sums. Collective.
  void update(IssuedStep& step);
  // The sums of the step that was updated last. Waits for the device to have updated it.
  StepSums wait_for_sums() const;

 private:
  SentByAxis sent_since_start() const;

  Job& job_;
  Readback loss_, squared_norm_;
  SentByAxis sent_before_;  // the step that is being issued
};

// Of a step, over all ranks.
std::int64_t predicted_tokens(const RunPlan& plan);

}  // namespace masformer
