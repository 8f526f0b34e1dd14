// Runs one rank's part of a schedule. It knows when to compute and what to move; a PipelineStage
// knows how to compute.
#pragma once

#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/pipeline/schedule.h"
#include "runtime/device_event.h"

namespace masformer {

// One rank's chunks of the model. Tensors are [tokens, hidden] activations and their gradients,
// on buffers that the stage owns.
class PipelineStage {
 public:
  virtual ~PipelineStage() = default;

  // Where an action finds what the previous part gave, and leaves what the next part gets. A
  // gradient that was sent stays untouched until the same chunk's next backward is prepared; an
  // output until its own backward or, in evaluation, the end of its action. Where the previous part
  // is on this stage, input() and output_gradient() are filled when that part's action ends, and
  // stay untouched until the action that they are for.
  virtual Tensor input(const Action& action) = 0;
  virtual Tensor output(const Action& action) = 0;
  virtual Tensor input_gradient(const Action& action) = 0;
  virtual Tensor output_gradient(const Action& action) = 0;

  virtual void run(const Action& action) = 0;
};

// Where on a stream an execution began, waited for other stages, and ended.
class StepTiming {
 public:
  explicit StepTiming(const Stream& stream) : stream_(&stream), begin_(stream) {}

  // Makes the stream wait for `event`.
  void wait(Request& request);
  void end() { end_ = DeviceEvent(*stream_); }

  // These wait for the stream to come there. The idle share is waiting / total.
  double total_seconds() const { return end_.seconds_since(begin_); }
  double waiting_seconds() const;

 private:
  struct Wait {
    DeviceEvent begin, end;
  };

  const Stream* stream_;
  DeviceEvent begin_, end_;
  std::vector<Wait> waits_;
};

// Runs schedule.actions[pipe.rank()] of a validated schedule in order. Waits for each input before
// its action; sends outputs without waiting, and waits for their buffers before it uses them again.
// Between two parts of this stage it copies. All sends are done for what is issued to `stream`, the
// stage's, after it.
StepTiming execute(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                   PipelineStage& stage);

}  // namespace masformer
