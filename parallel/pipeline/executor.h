// Runs one rank's part of a schedule. The executor decides when to compute and what to send; a
// PipelineStage computes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
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

// Events on the stream: the begin, the waits for other stages and the end of an execution. On a
// device with a recorder, also the begin and end of each action.
class StepTiming {
 public:
  // `recorder` may be null. It outlives the timing.
  StepTiming(const Stream& stream, Recorder* recorder);

  // Waits for `request`, and records the wait unless it was done.
  void wait(Request& request);
  // Runs an action of `stage`, and records it if there is a recorder.
  void run(PipelineStage& stage, const Action& action);
  void end() { end_ = DeviceEvent(*stream_); }

  // These wait until the stream has passed the end. waiting / total is the idle share.
  double total_seconds() const { return end_.seconds_since(begin_); }
  double waiting_seconds() const;
  // Gives the recorded actions the times at which the device ran them: exact within an execution,
  // and a little early beside other records. Waits for the last of them. Call it once.
  void set_device_times() const;

 private:
  struct Wait {
    DeviceEvent begin, end;
  };
  struct DeviceAction {
    std::uint64_t record;
    DeviceEvent begin, end;
  };

  bool times_actions() const { return host_begin_ != nullptr; }

  const Stream* stream_;
  Recorder* recorder_;
  // What the host's clock says when the stream comes to it, just before `begin_`; null unless
  // actions of a device are recorded.
  std::shared_ptr<const std::atomic<std::int64_t>> host_begin_;
  DeviceEvent begin_, end_;
  std::vector<Wait> waits_;
  std::vector<DeviceAction> actions_;
};

// Runs the steps of plan_execution(schedule, pipe.rank()) for a validated schedule. Results go to
// another stage by message, and to another part of this stage by copy. `stream` is the stage's;
// work that is issued to it afterwards sees all sends as done. `recorder` gets the actions, if
// there is one; on a device, with the host's times until StepTiming::set_device_times().
StepTiming execute(const Stream& stream, const Schedule& schedule, Communicator& pipe,
                   PipelineStage& stage, Recorder* recorder = nullptr);

}  // namespace masformer
