// Runs one rank's part of a schedule. It knows when to compute and what to move; a PipelineStage
// knows how to compute.
#pragma once

#include <vector>

#include "parallel/communicator.h"
#include "parallel/schedule.h"

namespace masformer {

// One rank's chunks of the model. Tensors are [tokens, hidden] activations and their gradients,
// on buffers that the stage owns.
class PipelineStage {
 public:
  virtual ~PipelineStage() = default;

  // Where an action finds what the previous part sent, and leaves what the next part gets. A
  // gradient that was sent stays untouched until the same chunk's next backward is prepared; an
  // output until its own backward or, in evaluation, the end of its action.
  virtual Tensor input(const Action& action) = 0;
  virtual Tensor output(const Action& action) = 0;
  virtual Tensor input_gradient(const Action& action) = 0;
  virtual Tensor output_gradient(const Action& action) = 0;

  virtual void run(const Action& action) = 0;
};

struct StepTiming {
  double total_seconds = 0;
  double waiting_seconds = 0;  // for other stages: the idle share is waiting / total
};

// Runs schedule.actions[pipe.rank()] of a validated schedule in order. Waits for each input before
// its action; outputs are sent without waiting and their buffers waited for before they are used
// again. All sends are done on return.
StepTiming execute(const Schedule& schedule, Communicator& pipe, PipelineStage& stage);

}  // namespace masformer
