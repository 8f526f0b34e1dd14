// Runs one rank's part of a schedule. The executor decides when to compute and what to send; a
// PipelineStage computes.
#pragma once

#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/pipeline/schedule.h"
#include "parallel/recorder.h"
#include "runtime/device_event.h"

namespace masformer {

// The chunks of the model on one rank. Tensors are activations [tokens, hidden] and their
// gradients, in buffers that the stage owns.
class PipelineStage {
 public:
  virtual ~PipelineStage() = default;

  // The operands that the executor receives for an action, and the results that it sends.
  //
  // The stage leaves a gradient unchanged until the next backward of the same chunk, and an output
  // until its own backward or, in evaluation, the end of its action. If the part that an operand
  // comes from is on this stage, the executor fills the operand when that part's action ends, and
  // the stage leaves it unchanged until the action that takes it.
  virtual Tensor input(const Action& action) = 0;
  virtual Tensor output(const Action& action) = 0;
  virtual Tensor input_gradient(const Action& action) = 0;
  virtual Tensor output_gradient(const Action& action) = 0;

  virtual void run(const Action& action) = 0;
};

// When an execution began, waited for other stages, and ended, as events on its stream.
class StepTiming {
 public:
  explicit StepTiming(const Stream& stream) : stream_(&stream), begin_(stream) {}

  // Waits for `request`, and records the wait unless it was done.
  void wait(Request& request);
  void end() { end_ = DeviceEvent(*stream_); }

  // These wait until the stream has passed the end. waiting / total is the idle share.
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

// Runs the steps of plan_execution(schedule, pipe.rank()) for a validated schedule. Results go to
// another stage by message, and to another part of this stage by copy. `stream` is the stage's;
// work that is issued to it afterwards sees all sends as done. `recorder` gets the actions, if
// there is one.
StepTiming execute(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                   PipelineStage& stage, Recorder* recorder = nullptr);

}  // namespace masformer
